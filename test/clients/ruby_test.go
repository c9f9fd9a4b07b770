package clients

import (
	"strconv"
	"testing"

	"plic/test/trial"
)

func TestRuby(t *testing.T) {
	t.Parallel()
	trial.Need(t, "ruby")
	s := trial.Start(t, program, ann)
	run(t, program, "account", "quota", ann.Name, "--storage", "10MiB", "--dir", s.Dir).ok(t)
	run(t, "ruby", "testdata/net_imap.rb", strconv.Itoa(s.Base), s.CA(), ann.Name, ann.Password).ok(t)
}
