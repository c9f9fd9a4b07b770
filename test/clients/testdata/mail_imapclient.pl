# Perl's Mail::IMAPClient, with which imapsync is made: perl mail_imapclient.pl BASE CA USER PASSWORD
use strict;
use warnings;
use utf8;
use Encode;
use IO::Socket::SSL;
use Mail::IMAPClient;

my ($base, $ca, $user, $password) = @ARGV;
my $c;

sub is {
    my ($what, $got, $want) = @_;
    $_ = ref ? join(' ', @$_) : $_ // 'nothing' for $got, $want;
    die "$what: got $got, not $want; " . (($c && $c->LastError) // '') . "\n" unless $got eq $want;
}

sub login {
    Mail::IMAPClient->new(Server => 'localhost', User => $user, Password => $password, Uid => 1, @_);
}
my @tls = (SSL_ca_file => $ca, SSL_verifycn_scheme => 'imap');
my %imaps = (Port => $base + 993, Ssl => [@tls]);

is('a wrong password', defined login(%imaps, Password => 'wrong'), '');
is('why', $@ =~ /\[AUTHENTICATIONFAILED\]/, 1);
for my $mechanism (undef, 'PLAIN', 'LOGIN') {
    $c = login(Port => $base + 143, Starttls => [@tls], Authmechanism => $mechanism) or die "STARTTLS: $@";
    is('logout', !!$c->logout, 1);
}
$c = login(%imaps) or die $@;
is('folders', [sort $c->folders], [qw(Archive Drafts INBOX Junk Sent Trash)]);
my $box = 'Gr&APYA3w-e "&-"';
is('create', !!$c->create($box), 1);
is('create again', !!$c->create($box), '');
is('why', $c->LastError =~ /\[ALREADYEXISTS\]/, 1);
is('there', join(' ', map { $c->exists($_) ? 1 : 0 } $box, 'nowhere'), '1 0');
is('subscribe', !!$c->subscribe($box), 1);
is('subscribed', scalar(grep { $_ eq $box } $c->subscribed), 1);
is('select', !!$c->select($box), 1);

my $text = "größe\r\n.\r\n--\r\n";
my $letter = sub {
    my ($n) = @_;
    "From: \"Ann, A.\" <a$n\@example.org>\r\nTo: bob\@plic.test\r\nSubject: =?utf-8?q?n=C3=BCmmer_$n?=\r\nMessage-ID: <$n\@example.org>\r\n"
      . ($n > 1 ? 'References: <' . ($n - 1) . "\@example.org>\r\n" : '')
      . "Date: $n Mar 2026 10:15:30 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
      . "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      . encode('UTF-8', $text) . "$n\r\n--b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
};
is("append $_", $c->append_string($box, $letter->($_), $_ == 2 ? '\Seen $Forwarded' : '', '"02-Mar-2026 10:15:30 +0000"'), $_) for 1 .. 4;
is('append nowhere', !!$c->append_string('nowhere', $letter->(1)), '');
is('why', $c->LastError =~ /\[TRYCREATE\]/, 1);
is('messages', [$c->messages], [1 .. 4]);
is('counts', [$c->message_count($box), $c->unseen_count, $c->uidnext($box)], [4, 3, 5]);

# What marks a message seen tells of it, and the text is that of the message alone.
my ($head, $body) = split /(?<=\r\n\r\n)/, $letter->(1), 2;
$body = substr $letter->(1), length $head;
is('body', $c->body_string(1), $body);
is('seen', [$c->seen], [1, 2]);
is('whole', $c->message_string(2), $letter->(2));
is('part', $c->bodypart_string(3, 2), 'AAEC');
is('piece', $c->bodypart_string(3, 2, 2, 1), 'AE');
is('size', $c->size(3), length $letter->(3));
is('subject', decode('MIME-Header', $c->subject(4)), 'nümmer 4');
my $fields = $c->parse_headers([1 .. 4], 'Message-ID', 'From');
is('fields', [map { $fields->{$_}{'Message-ID'}[0] } 1 .. 4], [map { "<$_\@example.org>" } 1 .. 4]);
my $all = $c->fetch_hash('FLAGS', 'RFC822.SIZE', 'BODY[HEADER.FIELDS (SUBJECT)]');
is('all', [map { $all->{$_}{'RFC822.SIZE'} } 1 .. 4], [map { length $letter->($_) } 1 .. 4]);
is('kept flags', [sort grep { !/Recent/ } $c->flags(2)], ['$Forwarded', '\Seen']);

is('search in UTF-8', [$c->search('CHARSET', 'UTF-8', 'SUBJECT', encode('UTF-8', 'NÜMMER 3'))], [3]);
is('sort', [$c->sort('REVERSE DATE', 'UTF-8', 'ALL')], [4, 3, 2, 1]);
is('thread', scalar @{ $c->thread('REFERENCES', 'UTF-8', 'ALL') }, 1);
is('since', [$c->sentsince(1772496000)], [3, 4]);

is('flag', !!$c->store('1:2', '+FLAGS.SILENT', '(\Flagged custom)'), 1);
is('keyword', [$c->search('KEYWORD', 'custom')], [1, 2]);
is('copy', $c->copy('Archive', 1, 2), '1,2');
is('move', !!$c->move('Archive', 3), 1);
is('delete', $c->delete_message(4), 1);
is('expunge', !!$c->expunge, 1);
is('left', [$c->messages], [1, 2]);
is('archived', $c->message_count('Archive'), 3);
is('quota', !!$c->getquotaroot('INBOX'), 1);
is('rights', $c->getacl('INBOX')->{$user} =~ /a/, 1);
is('rename', !!$c->rename($box, 'Other'), 1);
is('remove', !!$c->delete('Other'), 1);
is('compress', !!$c->compress, 1);
is('over it', $c->message_count('Archive'), 3);
is('again', !!$c->reconnect, 1);
is('logout', !!$c->logout, 1);
