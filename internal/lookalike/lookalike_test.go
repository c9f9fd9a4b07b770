package lookalike

import "testing"

func TestNear(t *testing.T) {
	for _, x := range []struct {
		name, known string
		want        bool
	}{
		{"example.org", "example.org", false},
		{"exarnple.org", "example.org", true},
		{"examp1e.org", "example.org", true},
		{"ехаmple.org", "example.org", true}, // Cyrillic
		{"xn--mple-43dmu.org", "example.org", false},
		{"xn--exmple-cua.org", "example.org", true},
		{"exámple.org", "example.org", true},
		{"exmaple.org", "example.org", true},
		{"exampleorg", "example.org", true},
		{"examples.org", "example.org", true},
		{"sample.org", "example.org", false},
		{"example.net", "example.org", false},
		{"other.org", "example.org", false},
		{"there.org", "here.org", false}, // too short
		{"", "example.org", false},
	} {
		if got := Near(x.name, x.known); got != x.want {
			t.Errorf("%s for %s: %v (%s, %s)", x.name, x.known, got, Skeleton(x.name), Skeleton(x.known))
		}
		if got := NewSet([]string{"unlike.test", x.known}).Near(x.name) == x.known; got != x.want && x.known != "" {
			t.Errorf("%s in a set with %s: %v", x.name, x.known, got)
		}
	}
}

func TestMixed(t *testing.T) {
	for name, want := range map[string]bool{
		"example.org": false, "пример.рф": false, "pаypal.com": true, "xn--pypal-4ve.com": true, "пример.com": false,
		"東京abc.jp": false, "ραypal.com": true, "한국어abc.kr": false, "": false, "bücher.de": false,
	} {
		if got := Mixed(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for word, want := range map[string]bool{"расе": true, "пример": false, "спорт": false, "race": false, "xn--80ak6aa92e": true, "ср": false} {
		if got := Whole(word); got != want {
			t.Errorf("whole %s: %v", word, got)
		}
	}
}

func FuzzNear(f *testing.F) {
	f.Add("exаmple.org", "example.org")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Near(a, a) {
			t.Errorf("%q is near itself", a)
		}
		Near(a, b)
		Mixed(a)
		Whole(a)
	})
}
