package clients

import (
	"strconv"
	"testing"

	"plic/test/trial"
)

// Mail::IMAPClient is what imapsync and many a script of a postmaster are made with.
func TestPerl(t *testing.T) {
	t.Parallel()
	trial.Need(t, "perl")
	if r := run(t, "perl", "-MMail::IMAPClient", "-MIO::Socket::SSL", "-e1"); r.code != 0 {
		lacks(t, "Perl is there without Mail::IMAPClient: %s", r.out)
	}
	s := trial.Start(t, program, ann)
	run(t, "perl", "testdata/mail_imapclient.pl", strconv.Itoa(s.Base), s.CA(), ann.Name, ann.Password).ok(t)
}
