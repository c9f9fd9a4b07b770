package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plic/internal/control"
	"plic/internal/control/controltest"
)

func TestDKIMCommands(t *testing.T) {
	t.Parallel()
	long := "v=DKIM1; k=rsa; p=" + strings.Repeat("a", 382)
	site := &controltest.Site{Records: []control.Record{{Name: "a._domainkey.example.org", Type: "TXT", Value: long, Why: "signs", Published: true}}}
	dir := serve(t, site)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []step{
		{"dkim keys example.org", "", 0, "a._domainkey.example.org.  TXT   \"" + long[:255] + "\" \"" + long[255:] + "\"  yes     signs\n", ""},
		{"dkim keys example.org --json", "", 0, `"value":"` + long + `","why":"signs","published":true}`, ""},
		{"dkim keys example.net", "", 0, "", "There are no keys."},
		{"dkim keys", "", 2, "", "the domain is missing"},
		{"dkim prepare example.org", "", 0, "a._domainkey.example.org.", ""},
		{"dkim rotate example.org", "", 1, "", "a record is missing"},
		{"dkim rotate example.org --force", "", 0, "", "the next keys sign now for example.org"},
		{"dkim import example.org mail " + file, "", 0, "", "mail signs now for example.org"},
		{"dkim import example.org mail " + file + ".none", "", 1, "", "no such file"},
		{"dkim import example.org", "", 2, "", "missing"},
	} {
		x.check(t, plic(t, dir, "", strings.Fields(x.args)...))
	}
	for _, want := range []string{"prepare example.org", "rotate example.org", "import example.org mail secret"} {
		if !slices.Contains(site.Calls, want) {
			t.Errorf("the server was told %q, not %s", site.Calls, want)
		}
	}
}
