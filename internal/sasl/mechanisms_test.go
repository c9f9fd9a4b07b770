package sasl

import (
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// The exchange of RFC 5802 section 5, whose verifier is that of "pencil".
func TestSCRAMSHA1(t *testing.T) {
	t.Parallel()
	salt := []byte("\x41\x25\xc2\x47\xe4\x3a\xb1\xe9\x3c\x6d\xff\x76")
	v, err := DeriveVerifier(SCRAM1, "pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := v.MarshalText()
	if want := "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE="; string(text) != want {
		t.Errorf("verifier %s, want %s", text, want)
	}
	var back Verifier
	if err := back.UnmarshalText(text); err != nil || !back.Fits(SCRAM1) || back.Fits(SCRAM) {
		t.Errorf("read back: %+v %v", back, err)
	}
	for password, want := range map[string]error{"pencil": nil, "pen": ErrFailed} {
		c, err := scram.SHA1.NewClient("user", password, "")
		if err != nil {
			t.Fatal(err)
		}
		s := NewSCRAM(SCRAMOptions{Mechanism: SCRAM1, Lookup: func(string) ([]*Verifier, error) { return []*Verifier{v}, nil }})
		if err := converse(&scramClient{name: SCRAM1, conv: c.NewConversation()}, s); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v", password, err)
		}
	}
	// A verifier of the other hash must not be used.
	s := NewSCRAM(SCRAMOptions{Mechanism: SCRAM, Lookup: func(string) ([]*Verifier, error) { return []*Verifier{v}, nil }})
	if _, _, err := s.Next([]byte("n,,n=user,r=abc")); err == nil {
		t.Error("SHA-1 in place of SHA-256")
	}
}

// One account, several passwords: the client uses any of them and need not say
// which.
func TestSCRAMOfManyPasswords(t *testing.T) {
	t.Parallel()
	salt := NewSalt()
	var all []*Verifier
	for _, password := range []string{"first", "second", "third"} {
		v, err := DeriveVerifier(SCRAM, password, salt, MinIterations)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	for password, want := range map[string]int{"first": 0, "second": 1, "third": 2, "fourth": -1} {
		c, err := NewSCRAMClient(Credentials{"u", password}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := NewSCRAM(SCRAMOptions{Mechanism: SCRAM, Lookup: func(string) ([]*Verifier, error) { return all, nil }})
		if err := converse(c, s); (err == nil) != (want >= 0) || s.Matched() != want {
			t.Errorf("%s: %d %v, want %d", password, s.Matched(), err, want)
		}
	}
	other, _ := NewVerifier("x", MinIterations)
	s := NewSCRAM(SCRAMOptions{Mechanism: SCRAM, Lookup: func(string) ([]*Verifier, error) { return append(all[:1:1], other), nil }})
	if _, _, err := s.Next([]byte("n,,n=user,r=abc")); err == nil {
		t.Error("verifiers of two salts in one exchange")
	}
}

func TestCRAM(t *testing.T) {
	t.Parallel()
	const challenge = "<1896.697170952@postoffice.reston.mci.net>" // RFC 2195 section 2
	key := NewCRAMKey("tanstaaftanstaaf")
	long := NewCRAMKey(strings.Repeat("x", 100))
	for _, tc := range []struct {
		name, response string
		matched        int
		want           error
	}{
		{"of the RFC", "tim b913a602c7eda7a495b4e6e7334d3890", 1, nil},
		{"in capitals", "tim B913A602C7EDA7A495B4E6E7334D3890", 1, nil},
		{"with a space in the name", "tim o b913a602c7eda7a495b4e6e7334d3890", 1, nil},
		{"wrong", "tim b913a602c7eda7a495b4e6e7334d3891", -1, ErrFailed},
		{"cut", "tim b913", -1, ErrFailed},
		{"no digest", "tim", -1, ErrMalformed},
		{"no name", " b913a602c7eda7a495b4e6e7334d3890", -1, ErrMalformed},
		{"too long", "tim " + strings.Repeat("a", MaxResponse), -1, ErrTooLong},
	} {
		s := NewCRAM(challenge, func(string) ([]CRAMKey, error) { return []CRAMKey{long, key}, nil })
		if got, done, err := s.Next(nil); string(got) != challenge || done || err != nil {
			t.Fatalf("%q %v %v", got, done, err)
		}
		_, done, err := s.Next([]byte(tc.response))
		if !errors.Is(err, tc.want) || done != (tc.want == nil) || s.Matched() != tc.matched {
			t.Errorf("%s: %v %d %v", tc.name, done, s.Matched(), err)
		}
	}
	s := NewCRAM(challenge, func(string) ([]CRAMKey, error) { return []CRAMKey{key}, nil })
	if _, _, err := s.Next([]byte("tim b913a602c7eda7a495b4e6e7334d3890")); !errors.Is(err, ErrMalformed) {
		t.Errorf("an initial response: %v", err)
	}
	// What `doveadm pw -s CRAM-MD5 -p secret` prints.
	const dovecot = "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"
	if text, _ := NewCRAMKey("secret").MarshalText(); string(text) != dovecot {
		t.Errorf("{CRAM-MD5}%s", text)
	}
	var back CRAMKey
	if err := back.UnmarshalText([]byte(dovecot)); err != nil || back != NewCRAMKey("secret") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "zz", dovecot + "00", dovecot[2:]} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestExternalAndAnonymous(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		make func(func(string) error) Server
		word string
		want error
	}{
		{"external", NewExternal, "", nil},
		{"external as somebody", NewExternal, "fred@example.com", nil},
		{"external, NUL", NewExternal, "a\x00b", ErrMalformed},
		{"external, not UTF-8", NewExternal, "\xff", ErrMalformed},
		{"anonymous", NewAnonymous, "sirhc", nil},
		{"anonymous, nothing", NewAnonymous, "", nil},
		{"anonymous, too long", NewAnonymous, strings.Repeat("ü", 256), ErrMalformed},
		{"anonymous, long", NewAnonymous, strings.Repeat("ü", 255), nil},
		{"anonymous, a line end", NewAnonymous, "a\r\nb", ErrMalformed},
	} {
		for _, initial := range []bool{true, false} {
			var got string
			s := tc.make(func(word string) error { got = word; return nil })
			if !initial {
				if challenge, done, err := s.Next(nil); len(challenge) != 0 || challenge == nil || done || err != nil {
					t.Fatalf("%s: %q %v %v", tc.name, challenge, done, err)
				}
			}
			_, done, err := s.Next([]byte(tc.word))
			if !errors.Is(err, tc.want) || done != (tc.want == nil) || done && got != tc.word {
				t.Errorf("%s: %q %v %v", tc.name, got, done, err)
			}
		}
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	const x = "\x01"
	for _, tc := range []struct {
		name, text  string
		old         bool
		user, token string
		want        error
	}{
		{"RFC 7628 section 4.1", "n,a=user@example.com," + x + "host=server.example.com" + x + "port=143" + x + "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" + x + x, false,
			"user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", nil},
		{"nobody named", "n,," + x + "auth=bearer abc" + x + x, false, "", "abc", nil},
		{"escaped name", "y,a=a=2Cb=3Dc," + x + "auth=Bearer abc" + x + x, false, "a,b=c", "abc", nil},
		{"no token", "n,," + x + x, false, "", "", nil},
		{"binding", "p=tls-exporter,," + x + "auth=Bearer abc" + x + x, false, "", "", ErrMalformed},
		{"bad escape", "n,a=a=2," + x + "auth=Bearer abc" + x + x, false, "", "", ErrMalformed},
		{"another scheme", "n,," + x + "auth=Basic abc" + x + x, false, "", "", ErrMalformed},
		{"two tokens", "n,," + x + "auth=Bearer abc" + x + "auth=Bearer abd" + x + x, false, "", "", ErrMalformed},
		{"a space in the token", "n,," + x + "auth=Bearer a c" + x + x, false, "", "", ErrMalformed},
		{"no end", "n,," + x + "auth=Bearer abc" + x, false, "", "", ErrMalformed},
		{"nothing", "", false, "", "", ErrMalformed},
		{"XOAUTH2", "user=someuser@example.com" + x + "auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" + x + x, true,
			"someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", nil},
		{"XOAUTH2 without user", "user=" + x + "auth=Bearer abc" + x + x, true, "", "", ErrMalformed},
		{"XOAUTH2, the newer form", "n,," + x + "auth=Bearer abc" + x + x, true, "", "", ErrMalformed},
	} {
		for _, refuse := range []bool{false, true} {
			var user, token string
			begin := NewBearer
			if tc.old {
				begin = NewXBearer
			}
			s := begin(func(u, k string) ([]byte, error) {
				if user, token = u, k; refuse {
					return []byte(`{"status":"invalid_token"}`), ErrFailed
				}
				return nil, nil
			})
			challenge, done, err := s.Next([]byte(tc.text))
			if user != tc.user || token != tc.token || !errors.Is(err, tc.want) || done != (tc.want == nil && !refuse) {
				t.Errorf("%s: %q %q %q %v %v", tc.name, user, token, challenge, done, err)
			}
			if tc.want != nil || !refuse {
				continue
			}
			if string(challenge) != `{"status":"invalid_token"}` {
				t.Errorf("%s: refused with %q", tc.name, challenge)
			}
			for _, last := range []string{x, tc.text} { // a better token comes too late
				if _, done, err := s.Next([]byte(last)); done || !errors.Is(err, ErrFailed) {
					t.Errorf("%s: after the refusal: %v %v", tc.name, done, err)
				}
			}
		}
	}
}
