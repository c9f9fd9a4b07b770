package sieve

import (
	"fmt"
	"strings"
	"testing"
)

// TestEveryExtensionHasACase: whatever scripts can require, one of the cases does,
// which Pigeonhole runs too where it has it.
func TestEveryExtensionHasACase(t *testing.T) {
	t.Parallel()
	elsewhere := map[string]string{
		"enclose": "TestEdits", "replace": "TestEdits",
		"imapsieve":           "TestEventScripts of internal/server",
		"vnd.dovecot.debug":   "TestDebugLog",
		"vnd.dovecot.execute": "TestPrograms of internal/deliver/local", "vnd.dovecot.filter": "TestPrograms of internal/deliver/local",
	}
	all := scenarios(t)
	for _, name := range Capabilities() {
		has := false
		for _, s := range all {
			has = has || strings.Contains(s.script, `"`+name+`"`)
		}
		if has == (elsewhere[name] != "") {
			t.Errorf("%s: a case is there: %v, it is tested by %q", name, has, elsewhere[name])
		}
	}
}

// TestDebugLog: what a script says of itself is told where its steps are.
func TestDebugLog(t *testing.T) {
	t.Parallel()
	offers := func(name string) bool { return name == "vnd.dovecot.debug" || name == "variables" }
	s, err := Compile("require [\"vnd.dovecot.debug\", \"variables\"];\nset \"x\" \"here\";\ndebug_log \"I am ${x}\";\n", Options{Allow: offers})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := input(t, "plain")
	said := ""
	in.Trace = func(line int, text string) { said += fmt.Sprintf("%d: %s\n", line, text) }
	if _, err := s.Run(in); err != nil || !strings.Contains(said, "3: ") || !strings.Contains(said, "I am here") {
		t.Errorf("%q, %v", said, err)
	}
}
