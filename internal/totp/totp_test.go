package totp

import (
	"encoding/base32"
	"testing"
	"time"
)

// The values of RFC 6238 appendix B, of which six digits are used.
func TestRFC6238(t *testing.T) {
	t.Parallel()
	secret := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		now := time.Unix(at, 0)
		if got := code([]byte("12345678901234567890"), Step(now)); got != want {
			t.Errorf("%d: %s, want %s", at, got, want)
		}
		step, ok := Check(secret, want, now, 0)
		if !ok || step != Step(now) {
			t.Errorf("%d: %d %v", at, step, ok)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	secret, now := NewSecret(), time.Unix(1_800_000_000, 0)
	raw, err := base32.StdEncoding.DecodeString(secret)
	if err != nil || len(raw) != secretSize || secret == NewSecret() {
		t.Fatalf("%q %v", secret, err)
	}
	for _, tc := range []struct {
		name, code string
		last       int64
		want       bool
	}{
		{"now", code(raw, Step(now)), 0, true},
		{"with spaces", code(raw, Step(now))[:3] + " " + code(raw, Step(now))[3:], 0, true},
		{"the one before", code(raw, Step(now)-1), 0, true},
		{"the one after", code(raw, Step(now)+1), 0, true},
		{"long ago", code(raw, Step(now)-2), 0, false},
		{"in a while", code(raw, Step(now)+2), 0, false},
		{"A8: again", code(raw, Step(now)), Step(now), false},
		{"A8: an older one after a newer one", code(raw, Step(now)-1), Step(now), false},
		{"the next after this one", code(raw, Step(now)+1), Step(now), true},
		{"cut", code(raw, Step(now))[:5], 0, false},
		{"nothing", "", 0, false},
	} {
		if _, ok := Check(secret, tc.code, now, tc.last); ok != tc.want {
			t.Errorf("%s: %v", tc.name, ok)
		}
	}
	if _, ok := Check("", code(nil, Step(now)), now, 0); ok {
		t.Error("a code without a secret")
	}
	if got, want := URI("mail.plic.test", "ann@plic.test", "ABC"), "otpauth://totp/mail.plic.test:ann@plic.test?issuer=mail.plic.test&secret=ABC"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
