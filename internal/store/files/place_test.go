package files

import (
	"maps"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	const home = "/home/ann"
	for text, want := range map[string]Place{
		"maildir:~/Maildir":                      {Format: "maildir", Path: "/home/ann/Maildir"},
		"maildir:/var/vmail/%d/%n":               {Format: "maildir", Path: "/var/vmail/example.org/Ann.B"},
		"maildir:/v/%Ld/%1Ln/%1.1n/%u:layout=fs": {Format: "maildir", Path: "/v/example.org/a/n/Ann.B@example.org", Options: map[string]string{"LAYOUT": "fs"}},
		"mbox:%h/mail:INBOX=/var/mail/%Un:UTF-8": {Format: "mbox", Path: "/home/ann/mail", Options: map[string]string{"INBOX": "/var/mail/ANN.B", "UTF-8": ""}},
		"maildir:/a/../b//100%%":                 {Format: "maildir", Path: "/b/100%"},
		"maildir:/v/%n:INDEX=/var/index/%u":      {Format: "maildir", Path: "/v/Ann.B", Options: map[string]string{"INDEX": "/var/index/Ann.B@example.org"}},
	} {
		at, err := Location{Text: text, Home: home}.Resolve("Ann.B@example.org")
		if err != nil || at.Format != want.Format || at.Path != want.Path || !maps.Equal(at.Options, want.Options) {
			t.Errorf("%s: %+v, %v", text, at, err)
		}
	}
	for text, account := range map[string]string{
		"": "a@b", "native": "a@b", "maildir": "a@b", "maildir:": "a@b", "maildir:relative": "a@b", "maildir:/": "a@b",
		"maildir:/v/%x": "a@b", "maildir:/v/%": "a@b", "maildir:/v/%n": "../x@b", "maildir:/v/%d": "a@..",
		"maildir:/w/%d": "nodomain", "maildir:/w/%9.1n": "a@b", "maildir:/x/%n": "..@b",
	} {
		if at, err := (Location{Text: text}).Resolve(account); err == nil {
			t.Errorf("%s for %s is %+v", text, account, at)
		}
	}
	if at, err := (Location{Text: "maildir:~/Maildir"}).Resolve("a@b"); err == nil {
		t.Errorf("without a home it is %+v", at)
	}
}
