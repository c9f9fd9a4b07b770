package passwords

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestDoveadm checks hashes that Dovecot has just made.
func TestDoveadm(t *testing.T) {
	if testing.Short() {
		t.Skip("runs doveadm")
	}
	if _, err := exec.LookPath("doveadm"); err != nil {
		t.Fatal("dovecot is not installed: make test sees to it")
	}
	const password = "pass wörd$"
	for _, scheme := range []string{
		"SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "BLF-CRYPT", "PBKDF2", "SSHA", "SSHA256", "SSHA512", "SHA", "SHA256", "SHA512",
		"SMD5", "LDAP-MD5", "PLAIN-MD5", "PLAIN", "CLEARTEXT", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "HMAC-MD5", "SHA512.HEX", "SSHA256.HEX", "SHA256.B64",
	} {
		out, err := exec.CommandContext(t.Context(), "doveadm", "pw", "-s", scheme, "-p", password, "-r", "5").CombinedOutput()
		if err != nil {
			out, err = exec.CommandContext(t.Context(), "doveadm", "pw", "-s", scheme, "-p", password).CombinedOutput()
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		stored := lines[len(lines)-1]
		if err != nil || !strings.HasPrefix(stored, "{") {
			t.Fatalf("%s: %v\n%s", scheme, err, out)
		}
		if ok, err := Verify(stored, password); err != nil || !ok {
			t.Errorf("%s: %v %v", stored, ok, err)
		}
		if ok, err := Verify(stored, password+"x"); err != nil || ok {
			t.Errorf("%s takes another password: %v %v", stored, ok, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for stored, password := range map[string]string{
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1": "Hello world!",
		"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                            "Hello world!",
		"{CRYPT}$2y$05$mXEAQHgFXbjxmbi.oKtv/uAp9J55bqZUnsBdc7wtepvcQ.E5mTK7q":                                  "pass word",
		"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$Y2VydGFpbmx5IG5vdCB0aGUgcmlnaHQga2V5IQ":        "",
		"{md5-crypt}$1$0p42ilQd$HN2HqAB0ouHDUl0QTiz7d0":                                                        "pass word",
		"{CRYPT}$y$j9T$salt1234$pUhEqzbmpNS2ajBn4Rs6YKqe5yOSUUbfowdnKWDhtr7":                                   "secret", // of libxcrypt
		"{SCRYPT}$scrypt$ln=4,r=8,p=1$":                                                                        "",
		"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=":                                                                    "test",
	} {
		ok, err := Verify(stored, password)
		if password == "" {
			if ok {
				t.Errorf("%s takes the empty password", stored)
			}
			continue
		}
		if err != nil || !ok {
			t.Errorf("%s: %v %v", stored, ok, err)
		}
	}
}

// TestRefused has what cannot be checked, or would cost too much.
func TestRefused(t *testing.T) {
	for _, stored := range []string{
		"", "{", "{}", "{NONE}x", "{SSHA}AAAA", "{SHA}====", "{SHA.ODD}AAAA", "{PLAIN-MD5}zz", "plain text", "{DES-CRYPT}8cEjf1X1bjPfY",
		"{SHA512-CRYPT}$6$rounds=999999999$salt$x", "{BLF-CRYPT}$2y$31$mXEAQHgFXbjxmbi.oKtv/uAp9J55bqZUnsBdc7wtepvcQ.E5mTK7q",
		"{ARGON2ID}$argon2id$v=19$m=104857600,t=5,p=1$oXPTjuo+zd2Cr3H7IJAQ6g$RPFTj/2ui4SqknQ6tdpp9Bx9La2a2XnFHfpeSWjUigo",
		"{CRYPT}$y$jVT$salt1234$pUhEqzbmpNS2ajBn4Rs6YKqe5yOSUUbfowdnKWDhtr7", "{CRYPT}$y$j9zz$salt1234$x", "$sha1$99999999$salt$x",
		"{CRAM-MD5}cd3b", "{PBKDF2}$1$salt$999999999$1b640910bc535fa61dc28405041ca87e2443b8a0", "{SCRAM-SHA-256}999999999,AAAA,AAAA,AAAA", "{SCRAM-SHA-256}1,2",
		"$6$" + strings.Repeat("a", 2000),
	} {
		if ok, err := Verify(stored, "x"); ok || !errors.Is(err, ErrUnknown) {
			t.Errorf("%.60q: %v %v", stored, ok, err)
		}
	}
}

func TestSalted(t *testing.T) {
	stored := Salted("päss")
	for password, want := range map[string]bool{"päss": true, "pass": false} {
		if ok, err := Verify(stored, password); err != nil || ok != want {
			t.Errorf("%s: %v %v", password, ok, err)
		}
	}
	if stored == Salted("päss") {
		t.Error("the same salt twice")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("{SSHA256}NmaKLBe378B6ejqboyY5VeUmHCjnTls/oCNKxH8PbFAqdyzs", "x")
	f.Add("$6$rounds=1000$salt$x", "y")
	f.Fuzz(func(t *testing.T, stored, password string) {
		ok, err := Verify(stored, password)
		if ok && err != nil {
			t.Errorf("%q: %v", stored, err)
		}
	})
}
