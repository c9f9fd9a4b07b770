package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSieveCommands(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"my.sieve":    "require [\"fileinto\", \"include\"];\nif header :contains \"subject\" \"hello\" {\n  fileinto \"Greetings\";\n}\ninclude \"more\";\n",
		"more.sieve":  "redirect \"carl@example.net\";\n",
		"lists.sieve": "require \"extlists\";\n",
		"bad.sieve":   "fileinto \"A\";\n",
		"fails.sieve": "require \"ihave\";\nerror \"no way\";\n",
		"m.eml":       "From: ann@example.org\nSubject: hello\n\nWords.\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{[]string{"check", "my.sieve"}, exitOK, "my.sieve is good\n", ""},
		{[]string{"check", "bad.sieve"}, exitFailed, "", "plic: bad.sieve: line 1, column 1: fileinto needs require \"fileinto\"\n"},
		{[]string{"check", "lists.sieve"}, exitOK, "lists.sieve is good, where the settings offer extlists\n", ""},
		{[]string{"run", "my.sieve", "--message", "m.eml"}, exitOK, "line 2: the test is true\nline 3: file into \"Greetings\"\n" +
			"line 1: redirect to carl@example.net\n=> the message is in Greetings\n=> the message goes on to carl@example.net\n", ""},
		{[]string{"run", "fails.sieve", "--message", "m.eml"}, exitOK, "=> the script failed, the message is kept: sieve: line 2, column 1: no way\n", ""},
		{[]string{"run", "more.sieve", "--message", "m.eml", "--json"}, exitOK, "{\"line\":1,\"text\":\"redirect to carl@example.net\"}\n{\"text\":\"the message goes on to carl@example.net\",\"result\":true}\n", ""},
	} {
		got := plic(t, dir, "", append([]string{"sieve"}, x.args...)...)
		if got.code != x.code || got.out != x.out || got.err != x.err {
			t.Errorf("%q: exit %d\n%s%s", x.args, got.code, got.out, got.err)
		}
	}
}
