package lang

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// RFC 4647 section 3.4.
func TestChoose(t *testing.T) {
	t.Parallel()
	for ranges, want := range map[string]string{
		"ro": "ro", "RO": "ro", "ro-RO": "ro", "ro-Latn-RO": "ro", "ro-x-y": "ro", "de en": "en", "en-GB": "en", "fr ro en": "ro",
		"*": "i-default", "default": "i-default", "i-default": "i-default", "de": "", "": "", "rom": "", "-": "", "i": "", "x-ro": "",
	} {
		l, ok := Choose(strings.Fields(ranges)...)
		if ok != (want != "") || ok && l.Tag != want {
			t.Errorf("%s: got %+v", ranges, l)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var none *Language
	ro, _ := Choose("ro")
	en, _ := Choose("en")
	const text = "goodbye"
	if none.Text(text) != text || en.Text(text) != text || ro.Text(text) != "la revedere" || ro.Text("nobody says this") != "nobody says this" {
		t.Error("wrong texts")
	}
	if !none.IsASCII() || !en.IsASCII() || ro.IsASCII() {
		t.Error("wrong about ASCII")
	}
}

// A translation takes the same values in the same order, and is of a text that
// is said.
func TestTranslations(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, dir := range []string{"imapd", "pop3d", "auth"} {
		files, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	verbs := regexp.MustCompile(`%[a-z.0-9]*`)
	for english, text := range romanian {
		if !slices.Equal(verbs.FindAllString(english, -1), verbs.FindAllString(text, -1)) {
			t.Errorf("%q and %q take other values", english, text)
		}
		quoted := strconv.Quote(english)
		if !strings.Contains(source.String(), strings.Trim(quoted, `"`)+`"`) {
			t.Errorf("nobody says %q", english)
		}
	}
}
