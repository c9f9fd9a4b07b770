package directory

import (
	"strings"
	"testing"

	"plic/internal/sasl"
)

func TestSecret(t *testing.T) {
	t.Parallel()
	s, err := NewSecret("pa\u0308ss", Cost{Memory: 64, Time: 1, Threads: 2, Iterations: sasl.MinIterations})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Hash, "$argon2id$v=19$m=64,t=1,p=2$") {
		t.Errorf("hash %s", s.Hash)
	}
	if s.SCRAM == nil || s.SCRAM.Iterations != sasl.MinIterations {
		t.Errorf("verifier %v", s.SCRAM)
	}
	for password, want := range map[string]bool{"päss": true, "pass": false, "": false} {
		if ok, err := Verify(s.Hash, password); ok != want || err != nil {
			t.Errorf("%q: %v %v", password, ok, err)
		}
	}
	other, err := NewSecret("päss", DefaultCost())
	if err != nil || other.Hash == s.Hash {
		t.Errorf("%v", err)
	}
	if ok, err := Verify(other.Hash, "päss"); !ok || err != nil {
		t.Errorf("default cost: %v %v", ok, err)
	}
	if _, err := NewSecret("", DefaultCost()); err == nil {
		t.Error("an empty password")
	}
	if _, err := NewSecret("x", Cost{Memory: maxMemory + 1, Time: 1, Threads: 1}); err == nil {
		t.Error("a cost out of bounds")
	}
}

// The example of the reference implementation's README.
func TestVerifyKnown(t *testing.T) {
	t.Parallel()
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := Verify(phc, "password"); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	good := Dummy(Cost{Memory: 64, Time: 1, Threads: 1})
	if ok, err := Verify(good, "x"); ok || err != nil {
		t.Fatalf("dummy: %v %v", ok, err)
	}
	for _, bad := range []string{
		"", "x", "$1$salt$hash", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "t=1", "t=99999", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=255", 1), strings.Replace(good, "m=64", "m=1", 1), good + "$x", good[:40], good + "!",
	} {
		if ok, err := Verify(bad, "x"); ok || err == nil {
			t.Errorf("%q: %v, no error", bad, ok)
		}
	}
}

// TestForeignSecret has a hash that came from another server.
func TestForeignSecret(t *testing.T) {
	const stored = "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	for password, want := range map[string]bool{"Hello world!": true, "Hello": false} {
		if ok, err := Verify(stored, password); ok != want || err != nil {
			t.Errorf("%q: %v %v", password, ok, err)
		}
	}
}
