# Has Mail::DKIM check the messages in files, or sign or seal that on standard input.
use strict; use warnings;
use Mail::DKIM::Signer; use Mail::DKIM::Verifier; use Mail::DKIM::ARC::Signer; use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS; use Net::DNS::Resolver;

my ($does, $server, $port, @rest) = @ARGV;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [$server], port => $port));
sub whole { my $in = shift; local $/ = undef; return scalar <$in> }
sub through { my ($x, $text) = @_; $x->PRINT($text); $x->CLOSE; return $x }

if ($does eq 'check') {
    for my $file (@rest) {
        open(my $in, '<:raw', $file) or die $!;
        my $text = whole($in);
        my $dkim = through(Mail::DKIM::Verifier->new(), $text);
        my $arc = through(Mail::DKIM::ARC::Verifier->new(), $text);
        print join(",", map { $_->result } $dkim->signatures), " ", $arc->result, "\n";
    }
    exit 0;
}
my ($domain, $key, $method) = @rest;
binmode STDIN; binmode STDOUT;
my $text = whole(\*STDIN);
if ($does eq 'sign') {
    my $s = through(Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $method, Domain => $domain, Selector => 's', KeyFile => $key), $text);
    print $s->signature->as_string, "\r\n";
} else {
    my $s = through(Mail::DKIM::ARC::Signer->new(Algorithm => 'rsa-sha256', Domain => $domain, SrvId => $domain, Selector => 's', KeyFile => $key, Chain => 'ar'), $text);
    die $s->result_detail unless $s->result eq 'sealed';
    print join("\r\n", $s->as_strings), "\r\n";
}
