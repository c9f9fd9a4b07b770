package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/control/controltest"
)

func TestDirectoryCommand(t *testing.T) {
	t.Parallel()
	dir := serve(t, &controltest.Site{Findings: map[string]control.Finding{
		"ann@here.test": {Asked: "ann@here.test", Outcome: "found", Domain: "here.test",
			Steps: []control.LookupStep{
				{Source: "native", Question: "account", Key: "ann@here.test", Outcome: "missing", Took: 1200},
				{Source: "company", Question: "account", Key: "ann@here.test", Outcome: "found", Answer: "ann@here.test", Took: 3 * time.Millisecond},
			},
			Account: &control.FoundAccount{Name: "ann@here.test", Password: "CRYPT", Disabled: true, Bytes: 1000, Messages: -1, Groups: []string{"staff", "sales"}, Home: "/home/ann", UID: 1000, GID: 100},
			Leads:   &control.AddressTargets{Account: "ann@here.test", Aliases: []string{"copy@there.test"}, Detail: "x", CatchAll: true},
		},
		"bob@here.test": {Asked: "bob@here.test", Outcome: "trouble", Reason: "source company: connection refused", Steps: []control.LookupStep{
			{Source: "company", Question: "account", Outcome: "trouble", Trouble: "connection refused"},
		}},
	}})
	got := plic(t, dir, "", "directory", "lookup", "--fresh", "ann@here.test")
	for _, want := range []string{"native   account   ann@here.test  1µs   missing\n", "company  account   ann@here.test  3ms   ann@here.test\n", "=> domain   here.test is ours\n",
		"password checked by CRYPT", "disabled: gets mail", "quota 1000 octets", "no limit of messages", "groups staff, sales", "home /home/ann", "uid 1000, gid 100", "fresh    account",
		"=> mail     goes to the account ann@here.test, copy@there.test, detail x, by the catch-all of the domain\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s%s", want, got.out, got.err)
		}
	}
	if got.code != 0 {
		t.Errorf("exit code %d", got.code)
	}
	got = plic(t, dir, "", "directory", "lookup", "bob@here.test")
	if got.code != 1 || !strings.Contains(got.out, "trouble: connection refused") || !strings.Contains(got.err, "temporary trouble: source company") {
		t.Errorf("trouble: %+v", got)
	}
	if got := plic(t, dir, "", "directory", "lookup", "nobody@here.test"); got.code != 1 || !strings.Contains(got.err, "nothing of that name") {
		t.Errorf("nobody: %+v", got)
	}
	var f control.Finding
	if err := json.Unmarshal([]byte(plic(t, dir, "", "directory", "lookup", "--json", "ann@here.test").out), &f); err != nil || f.Account.UID != 1000 || len(f.Steps) != 2 {
		t.Errorf("JSON: %+v, %v", f, err)
	}
	plic(t, dir, "", "domain", "add", "here.test")
	plic(t, dir, "secret enough\n", "account", "add", "eve@here.test", "--password-stdin")
	for password, want := range map[string]int{"secret enough\n": 0, "wrong\n": 1, "\n": 1} {
		if got := plic(t, dir, password, "directory", "auth", "eve@here.test", "--password-stdin"); got.code != want || strings.Contains(got.out+got.err, "secret enough") {
			t.Errorf("%q: %+v", password, got)
		}
	}
	if got := plic(t, dir, "", "directory", "auth", "eve@here.test"); got.code != 2 {
		t.Errorf("without a terminal: %+v", got)
	}
}
