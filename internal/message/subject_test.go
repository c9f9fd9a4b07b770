package message

import (
	"slices"
	"strings"
	"testing"
)

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, base string
		reply         bool
	}{
		{"", "", false}, {"Hello", "Hello", false}, {"Re: Hello", "Hello", true}, {"RE:re : fwd: FW: Hello", "Hello", true},
		{"[list] Re: [other] Hello", "Hello", true}, {"Re[2]: Hello", "Hello", true}, {"re [x] : Hello", "Hello", true},
		{"[only]", "[only]", false}, {"Re: [only]", "[only]", true}, {"[a] [b] c", "c", false}, {"[a][b]", "[b]", false},
		{"Hello (fwd)", "Hello", true}, {"Hello (Fwd) (fwd)  ", "Hello", true}, {"[Fwd: Re: [x] Hello]", "Hello", true},
		{"[fwd: Hello] (fwd)", "Hello", true}, {"a \t  b", "a b", false}, {"Regarding: x", "Regarding: x", false}, {"re", "re", false},
		{"Re:", "", true}, {"Re: Re: (fwd)", "", true}, {"[open", "[open", false}, {"[a[b]] c", "[a[b]] c", false}, {"AW: Hallo", "AW: Hallo", false},
		{"fwd Hello", "fwd Hello", false}, {"[Fwd: ]", "", true},
	} {
		if base, reply := BaseSubject(c.subject); base != c.base || reply != c.reply {
			t.Errorf("%q has the base %q, %v; want %q, %v", c.subject, base, reply, c.base, c.reply)
		}
	}
}

// A hostile subject costs no more than its length: a test that looks at each
// blob again and again would not come back.
func TestBaseSubjectHostile(t *testing.T) {
	t.Parallel()
	const n = 1 << 17
	for text, want := range map[string]string{
		"Re:": "", "[": strings.Repeat("[", n), "[a]": "[a]", "[fwd:": strings.Repeat("[fwd:", n), "(fwd)": "", " ": "",
	} {
		if got, _ := BaseSubject(strings.Repeat(text, n)); got != want {
			t.Errorf("%q repeated has the base %.40q, want %.40q", text, got, want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		"":                               nil,
		"<a@b>":                          {"a@b"},
		"<a@b> <c@d>\r\n <e@f>":          {"a@b", "c@d", "e@f"},
		"<a@b><c@d>":                     {"a@b", "c@d"},
		`<"a"@b> <"x y"@z>`:              {"a@b", "x y@z"},
		"text <a@b> (comment) \"x\"":     {"a@b"},
		"<broken <a@b>":                  {"a@b"},
		"<no-at> <>":                     nil,
		"<a@b":                           nil,
		"<long\r\n @b>":                  {"long@b"},
		`Your message of Monday <"\"@b>`: nil,
	} {
		if got := MessageIDs(value); !slices.Equal(got, want) {
			t.Errorf("%q names %q, want %q", value, got, want)
		}
	}
}
