package server

import (
	"log/slog"
	"strings"
	"testing"
)

// What the settings say wrongly of routes is told at the start, all at once.
func TestRoutesAreChecked(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Route.Transports = []string{`inline:{"a.test"="uucp:x", "b.test"="smtp:[x]"}`}
	c.Route.Commands = []string{`inline:{"bad"="user=x prog | y"}`}
	c.Route.SenderBcc = []string{`inline:{"@a.test"="nobody"}`}
	c.Route.Aliases = []string{"aliases:/none/such"}
	_, err := New(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	for _, want := range []string{`route.transports: "a.test": "uucp:x" is no transport`, `route.commands: "bad": the character '|'`,
		`route.sender_bcc: "@a.test"`, "route.aliases: table aliases:/none/such"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in\n%v", want, err)
		}
	}
}
