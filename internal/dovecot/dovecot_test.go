package dovecot

import (
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]string{
		{"AUTH", "1", "PLAIN", "service=smtp", "secured", "resp=AGFubgBzZWNyZXQ="}, {"USER", "1", "a\tb\nc\x01d\x00e\r", ""}, {"\x01t", "\x011"}, {""},
	} {
		line := Join(slices.Clone(fields)...)
		if got := Split(line[:len(line)-1]); !slices.Equal(got, fields) || line[len(line)-1] != '\n' {
			t.Errorf("%q became %q and %q", fields, line, got)
		}
	}
	if p := Parameters([]string{"secured", "rip=192.0.2.1", "rip=192.0.2.2", "resp=a=b"}); p["rip"] != "192.0.2.1" || p["resp"] != "a=b" {
		t.Errorf("%v", p)
	} else if _, ok := p["secured"]; !ok {
		t.Errorf("%v", p)
	}
	for line, want := range map[string]error{"VERSION\t1\t1": nil, "VERSION\t1\t99": nil, "VERSION\t2\t0": ErrVersion, "VERSION\t1": ErrVersion, "": ErrVersion, "CPID\t1\t1": ErrVersion} {
		if err := CheckVersion(Split(line)); err != want {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("AUTH\t1\tPLAIN\tservice=smtp\tresp=AA==")
	f.Add("USER\t1\ta\x01tb\x01")
	f.Fuzz(func(t *testing.T, line string) {
		fields := Split(line)
		again := Join(slices.Clone(fields)...)
		if got := Split(again[:len(again)-1]); !slices.Equal(got, fields) {
			t.Errorf("%q: %q, then %q", line, fields, got)
		}
		Parameters(fields)
	})
}
