<?php // PHP's imap functions, which are the c-client library: php imap.php PORT USER PASSWORD
[, $port, $user, $password] = $argv;
$at = "{localhost:$port/imap/ssl/novalidate-cert}";

function is($what, $got, $want)
{
    if ($got !== $want) {
        fwrite(STDERR, "$what: got " . var_export($got, true) . ', want ' . var_export($want, true) . "\n" . implode("\n", imap_errors() ?: []) . "\n");
        exit(1);
    }
}

is('a wrong password', @imap_open($at, $user, 'wrong', OP_HALFOPEN, 1), false);
imap_errors();
$m = imap_open($at . 'INBOX', $user, $password, 0, 1) or exit(1);
$names = array_map(fn ($x) => substr($x->name, strlen($at)), imap_getmailboxes($m, $at, '*'));
sort($names);
is('mailboxes', $names, ['Archive', 'Drafts', 'INBOX', 'Junk', 'Sent', 'Trash']);
$box = 'Gr&APYA3w-e'; // Größe
is('create', imap_createmailbox($m, $at . $box), true);
is('create again', @imap_createmailbox($m, $at . $box), false);
is('subscribe', imap_subscribe($m, $at . $box), true);
is('subscribed', in_array($at . $box, imap_lsub($m, $at, '*')), true);

$letter = fn ($n) => "From: Ann <a$n@example.org>\r\nTo: ann@plic.test\r\nSubject: =?utf-8?q?n=C3=BCmmer_$n?=\r\nMessage-ID: <$n@example.org>\r\n"
    . ($n > 1 ? 'References: <' . ($n - 1) . "@example.org>\r\n" : '')
    . 'Date: ' . (9 - $n) . " Mar 2026 10:15:30 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    . "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngröße $n\r\n"
    . "--b\r\nContent-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
foreach ([1, 2, 3, 4] as $n) {
    is('append', imap_append($m, $at . $box, $letter($n), $n == 2 ? '\\Seen \\Flagged' : '', '02-Mar-2026 10:15:30 +0100'), true);
}
is('append nowhere', @imap_append($m, $at . 'nowhere', $letter(1)), false);
is('refusals', array_map(fn ($x) => strtok($x, ' '), imap_errors()), ['[ALREADYEXISTS]', '[TRYCREATE]']);
$status = imap_status($m, $at . $box, SA_ALL);
is('status', [$status->messages, $status->unseen, $status->uidnext], [4, 3, 5]);
is('reopen', imap_reopen($m, $at . $box), true);
is('count', imap_num_msg($m), 4);
is('uid', [imap_uid($m, 3), imap_msgno($m, 3)], [3, 3]);

$all = imap_fetch_overview($m, '1:4');
is('overview', array_map(fn ($x) => [iconv_mime_decode($x->subject, 0, 'UTF-8'), $x->message_id, $x->seen, $x->flagged, $x->size], $all),
    array_map(fn ($n) => ["nümmer $n", "<$n@example.org>", (int) ($n == 2), (int) ($n == 2), strlen($letter($n))], [1, 2, 3, 4]));
$head = imap_headerinfo($m, 1);
is('header', [$head->from[0]->personal, $head->from[0]->mailbox, $head->from[0]->host, $head->udate], ['Ann', 'a1', 'example.org', 1772442930]);
$parts = imap_fetchstructure($m, 1)->parts;
is('structure', array_map(fn ($p) => [$p->type, $p->encoding, $p->subtype, $p->bytes], $parts), [[0, 1, 'PLAIN', 9], [5, 3, 'PNG', 4]]);
is('part', imap_fetchbody($m, 1, '1', FT_PEEK), 'größe 1');
is('mime', str_contains(imap_fetchmime($m, 1, '2', FT_PEEK), 'filename=a.png'), true);
is('whole', imap_fetchheader($m, 1) . imap_body($m, 1, FT_PEEK), $letter(1));
is('search', imap_search($m, 'UNSEEN FROM "a3" SINCE "1-Mar-2026"', SE_UID), [3]);
is('search in UTF-8', imap_search($m, 'BODY "größe 4"', SE_UID, 'UTF-8'), [4]);
is('nothing', imap_search($m, 'SUBJECT "no such"'), false);
is('sort', imap_sort($m, SORTDATE, false, SE_UID), [4, 3, 2, 1]);
$thread = imap_thread($m, SE_UID);
is('thread', [$thread['0.num'], $thread['1.num'], $thread['2.num'], $thread['3.num']], [1, 2, 3, 4]);

is('flag', imap_setflag_full($m, '1,3', '\\Answered \\Seen'), true);
is('unflag', imap_clearflag_full($m, '2', '\\Flagged', ST_UID), true);
is('answered', imap_search($m, 'ANSWERED'), [1, 3]);
is('copy', imap_mail_copy($m, '1:2', 'Archive'), true);
is('move', imap_mail_move($m, '3', 'Archive', CP_UID), true);
is('delete', imap_delete($m, '4', FT_UID), true);
is('expunge', imap_expunge($m), true);
is('left', [imap_num_msg($m), imap_status($m, $at . 'Archive', SA_MESSAGES)->messages], [2, 3]);
is('quota', is_array(@imap_get_quotaroot($m, 'INBOX')), true);
is('rights', imap_getacl($m, $box)[$user] !== '', true);
is('reopen', imap_reopen($m, $at . 'INBOX'), true);
is('rename', imap_renamemailbox($m, $at . $box, $at . 'Other'), true);
is('remove', imap_deletemailbox($m, $at . 'Other'), true);
is('ping', imap_ping($m), true);
is('errors', imap_errors(), false);
imap_close($m);
