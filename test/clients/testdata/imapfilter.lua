-- imapfilter, which sorts a mailbox by rules of a user: BASE, WHO and PASSWORD are in the environment.
options.timeout, options.create, options.subscribe, options.charset, options.range = 20, true, true, 'UTF-8', 2
options.info = false

function is(what, got, want)
	got, want = tostring(got), tostring(want)
	if got ~= want then
		io.stderr:write(what, ': got ', got, ', not ', want, '\n')
		os.exit(1)
	end
end

-- The UIDs of a set of messages.
function uids(set)
	local all = {}
	for _, m in ipairs(set) do all[#all + 1] = m[2] end
	table.sort(all)
	return table.concat(all, ' ')
end

a = IMAP { server = 'localhost', port = tonumber(os.getenv('BASE')) + 993, ssl = 'auto',
	username = os.getenv('WHO'), password = os.getenv('PASSWORD') }
boxes = a:list_all()
table.sort(boxes)
is('mailboxes', table.concat(boxes, ' '), 'Archive Drafts INBOX Junk Sent Trash')
is('create', a:create_mailbox('Größe & mehr'), true)
box = a['Größe & mehr']
for n = 1, 5 do
	box:append_message('From: Ann <a' .. n .. '@example.org>\r\nSubject: =?utf-8?q?n=C3=BCmmer_' .. n .. '?=\r\n' ..
		'Message-ID: <' .. n .. '@example.org>\r\nDate: ' .. n .. ' Mar 2026 10:15:30 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngröße ' .. n .. '\r\n',
		n == 2 and { '\\Seen', '$Forwarded' } or {}, '02-Mar-2026 10:15:30 +0000')
end
is('counts', table.concat({ box:check_status() }, ' '), '5 5 4 6')
is('all', uids(box:select_all()), '1 2 3 4 5')
is('unseen', uids(box:is_unseen()), '1 3 4 5')
is('subject', uids(box:contain_subject('NÜMMER 3')), '3')
is('body', uids(box:contain_body('größe') * box:contain_from('a4') + box:has_keyword('$Forwarded')), '2 4')
is('dates', uids(box:sent_since('02-Mar-2026') - box:contain_field('Message-ID', '5@')), '2 3 4')
is('by pattern', uids(box:match_from('a[12]@')), '1 2')
is('text', box[3]:fetch_body(), 'größe 3\r\n')
box:contain_subject('nümmer 1'):mark_flagged()
box:contain_subject('nümmer 2'):add_flags({ 'custom' })
is('keyword', uids(box:has_keyword('custom') + box:is_flagged()), '1 2')
box:is_flagged():copy_messages(a['new one']) -- which is made
box:contain_subject('nümmer 5'):move_messages(a.Archive)
box:contain_subject('nümmer 4'):delete_messages()
is('left', uids(box:select_all()), '1 2 3')
is('made', uids(a['new one']:select_all()) .. uids(a.Archive:select_all()), '11')
is('remove', a:delete_mailbox('Größe & mehr'), true)
