package main

import (
	"strings"
	"testing"

	"plic/internal/control/controltest"
)

func TestLoginCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)

	for _, s := range []step{
		{"domain add example.org", "", 0, "", "added"},
		{"account add ann@example.org --generate", "", 0, "*", "added"},
		{"account login ann@example.org", "", 0, "protocols           all\nnetworks            any\n", ""},
		{"account login ann@example.org --protocols IMAP,smtp --networks 192.0.2.0/24 --app-passwords-only yes", "", 0, "protocols           imap, smtp\nnetworks            192.0.2.0/24\napp passwords only  yes\n", ""},
		{"account login ann@example.org --protocols all --enabled no --json", "", 0, `{"account":"ann@example.org","disabled":true,"networks":["192.0.2.0/24"],"app_only":true}`, ""},
		{"account login ann@example.org --enabled maybe", "", 2, "", "write yes or no"},
		{"account login nobody@example.org", "", 1, "", "nobody@example.org: not found"},
		{"account login ann@example.org --hash-stdin", "{SSHA}abc\n", 0, "enabled             no", ""},
		{"account app-password add ann@example.org phone", "", 0, "made-up\n", "made the password id-phone of ann@example.org for phone; it is not shown again"},
		{"account app-password add ann@example.org archive --protocols imap --read-only --expires 90d --json", "", 0, `"read_only":true`, ""},
		{"account app-password add ann@example.org x --expires soon", "", 2, "", "--expires"},
		{"account app-password list ann@example.org", "", 0, "imap (reading)", ""},
		{"account app-password revoke ann@example.org phone", "", 0, "", "revoked phone of ann@example.org"},
		{"account app-password revoke ann@example.org phone", "", 1, "", "not found"},
		{"account totp enrol ann@example.org", "", 0, "Secret:    ABCD\nFor a QR:  otpauth://totp/x\n", "plic account totp confirm ann@example.org CODE"},
		{"account totp confirm ann@example.org 123456", "", 0, "", "hold from now on"},
		{"account totp try ann@example.org 654321", "", 1, "", "the code of ann@example.org is wrong"},
		{"account totp try ann@example.org 123456", "", 0, "", "the code is right"},
		{"account login ann@example.org", "", 0, "on, 2 recovery codes left", ""},
		{"account totp remove ann@example.org", "", 0, "", "took the one-time codes"},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
	if got := site.Password("ann@example.org"); got != "{SSHA}abc" {
		t.Errorf("the hash is %q", got)
	}
}
