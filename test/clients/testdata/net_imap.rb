# Ruby's own Net::IMAP and Net::POP3: ruby net_imap.rb BASE CA USER PASSWORD
require 'net/imap'
require 'net/pop'

base, ca, user, password = ARGV
base = base.to_i

def is(what, got, want)
  abort "#{what}: got #{got.inspect}, want #{want.inspect}" unless got == want
end

def refused(code)
  yield
  abort "#{code} was expected"
rescue Net::IMAP::NoResponseError => e
  is('refused', e.response.data.code.name, code)
end

open = -> { Net::IMAP.new('localhost', port: base + 993, ssl: { ca_file: ca }) }
login = -> { open.call.tap { |c| c.authenticate('PLAIN', user, password) } }

refused('AUTHENTICATIONFAILED') { open.call.login(user, 'wrong') }
c = Net::IMAP.new('localhost', port: base + 143)
c.starttls({ ca_file: ca })
c.login(user, password)
c.logout
c.disconnect

c = login.call
is('folders', c.list('', '*').map(&:name).sort, %w[Archive Drafts INBOX Junk Sent Trash])
is('use', c.list('', 'Sent')[0].attr, %i[Hasnochildren Sent])
box = Net::IMAP.encode_utf7('Größe & 漢字')
c.create(box)
refused('ALREADYEXISTS') { c.create(box) }
c.subscribe(box)
is('subscribed', c.lsub('', 'Gr*').map { |x| Net::IMAP.decode_utf7(x.name) }, ['Größe & 漢字'])
letter = lambda do |n|
  "From: \"Ann, A.\" <a#{n}@example.org>\r\nTo: bob@plic.test\r\nSubject: =?utf-8?q?n=C3=BCmmer_#{n}?=\r\nMessage-ID: <#{n}@example.org>\r\n" \
    "#{n > 1 ? "References: <#{n - 1}@example.org>\r\n" : ''}Date: #{n} Mar 2026 10:15:30 +0100\r\n" \
    "Content-Type: text/plain; charset=utf-8\r\n\r\ngröße #{n}\r\n"
end
at = Time.utc(2026, 3, 2, 10, 15, 30)
(1..5).each do |n|
  done = c.append(box, letter.(n).b, n == 2 ? [:Seen, '$Forwarded'] : nil, at)
  is('append', done.data.code.name + done.data.code.data[/ \d+$/], "APPENDUID #{n}")
end
refused('TRYCREATE') { c.append('nowhere', letter.(1).b) }
is('status', c.status(box, %w[MESSAGES UNSEEN UIDNEXT]), { 'MESSAGES' => 5, 'UNSEEN' => 4, 'UIDNEXT' => 6 })
c.select(box)
all = c.fetch(1..-1, %w[UID ENVELOPE FLAGS INTERNALDATE RFC822.SIZE BODYSTRUCTURE])
is('dates', all.map { |m| m.attr['INTERNALDATE'] }.uniq, [' 2-Mar-2026 10:15:30 +0000'])
is('sizes', all.map { |m| m.attr['RFC822.SIZE'] }, (1..5).map { |n| letter.(n).bytesize })
is('from', all.map { |m| f = m.attr['ENVELOPE'].from[0]; [f.name, f.mailbox] }, (1..5).map { |n| ['Ann, A.', "a#{n}"] })
is('charset', all[0].attr['BODYSTRUCTURE'].param, { 'CHARSET' => 'utf-8' })
m = c.fetch(3, 'BODY[]')[0].attr
is('whole', [m['BODY[]'], m['FLAGS'] - [:Recent]], [letter.(3).b, [:Seen]])
is('piece', c.uid_fetch(3, 'BODY.PEEK[TEXT]<0.2>')[0].attr['BODY[TEXT]<0>'], 'gr')
is('search', c.search(['NOT', 'SEEN', 'SENTSINCE', '2-Mar-2026']), [4, 5])
is('search in UTF-8', c.uid_search(['SUBJECT', 'NÜMMER 4'.b], 'UTF-8'), [4])
is('sort', c.sort(%w[REVERSE DATE], ['ALL'], 'UTF-8'), [5, 4, 3, 2, 1])
is('thread', c.uid_thread('REFERENCES', ['ALL'], 'UTF-8').map(&:seqno), [1])
is('store', c.store(1..2, '+FLAGS', [:Flagged, '$MDNSent'])[1].attr['FLAGS'] - [:Recent], [:Flagged, :Seen, '$Forwarded', '$MDNSent'])
is('copy', c.copy(1..2, 'Archive').data.code.data[/ .*/], ' 1:2 1:2')
c.uid_move(4, 'Archive')
is('moved', c.responses['EXPUNGE'], [4])
c.uid_store(5, '+FLAGS', [:Deleted])
is('expunge', c.expunge.last, 4)
is('rights', c.getacl(box)[0].user, user)
is('quota', c.getquotaroot('INBOX').map(&:class), [Net::IMAP::MailboxQuotaRoot, Net::IMAP::MailboxQuota])

# IDLE: what another does comes at once.
other = login.call
other.select(box)
ready, told = Queue.new, []
acts = Thread.new do
  ready.pop
  other.append(box, letter.(6).b)
  other.store(1, '+FLAGS', [:Answered])
  other.store(2, '+FLAGS.SILENT', [:Deleted])
  other.expunge
end
c.idle(20) do |r|
  ready << true if r.is_a?(Net::IMAP::ContinuationRequest)
  told << r.name if r.is_a?(Net::IMAP::UntaggedResponse)
  c.idle_done if told.last == 'EXPUNGE'
end
acts.join
is('told', %w[EXISTS FETCH EXPUNGE] - told, [])
c.close
other.close
c.rename(box, 'Other')
c.delete('Other')
[other, c].each { |x| x.logout; x.disconnect }

pop = Net::POP3.new('localhost', base + 995)
pop.enable_ssl(OpenSSL::SSL::VERIFY_PEER, ca)
pop.start(user, password) do
  is('mails', pop.n_mails, 1)
  is('welcome', pop.mails[0].pop.include?("\r\nSubject: Welcome to plic\r\n"), true)
  pop.mails[0].delete
end
pop.start(user, password) { is('left', pop.n_mails, 0) }
