package main

import (
	"encoding/json"
	"strings"
	"testing"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/mail"
)

func TestRouteCommand(t *testing.T) {
	t.Parallel()
	hop := &mail.Hop{Kind: mail.HopRemote, Host: "there.test", Source: "192.0.2.9"}
	dir := serve(t, &controltest.Site{Ways: map[string]control.Way{
		"sales@here.test": {To: "sales@here.test", Copies: []string{"archive@here.test"}, Steps: []control.RouteStep{
			{Address: "sales@here.test", Step: "alias", Table: "aliases:/etc/aliases", Key: "sales@here.test"},
			{Address: "sales@here.test", Step: "alias", Table: "aliases:/etc/aliases", Key: "sales", Found: true, Answer: "bob, eve@there.test"},
			{Address: "bob@here.test", Step: "account", Table: "directory", Key: "bob@here.test", Found: true, Answer: "bob@here.test"},
			{Address: "eve@there.test", Step: "transport", Table: "sql", Key: "eve@there.test", Trouble: "connection refused"},
		}, Destinations: []control.Destination{
			{Address: "bob@here.test", From: "x@y.test", Account: "bob@here.test"},
			{Address: "eve@there.test", From: "SRS0=a=b=y.test=x@here.test", Hop: hop, Hosts: []string{"mx.there.test at 192.0.2.1:25"}, Hold: true},
			{Address: "null@here.test", From: "x@y.test", Discard: true},
		}},
		"nobody@here.test": {To: "nobody@here.test", Refused: "550 5.1.1 no such user here"},
	}})
	got := plic(t, dir, "", "route", "--from", "x@y.test", "sales@here.test", "nobody@here.test")
	for _, want := range []string{"sales@here.test  alias      aliases:/etc/aliases  sales", "bob, eve@there.test\n", "trouble: connection refused",
		"=> bob@here.test      goes to the account bob@here.test\n", "=> eve@there.test     goes by smtp to the MX of there.test, from 192.0.2.9, held in the queue\n",
		"1. mx.there.test at 192.0.2.1:25", "with the sender <SRS0=a=b=y.test=x@here.test>", "is thrown away", "=> archive@here.test  gets a copy",
		"=> nobody@here.test  is refused with 550 5.1.1 no such user here\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s%s", want, got.out, got.err)
		}
	}
	if strings.Contains(got.out, " -\n") || !strings.Contains(plic(t, dir, "", "route", "--all", "sales@here.test").out, " -\n") {
		t.Errorf("what was asked in vain is shown with --all only:\n%s", got.out)
	}
	var way control.Way
	if err := json.Unmarshal([]byte(plic(t, dir, "", "route", "--json", "sales@here.test").out), &way); err != nil || len(way.Destinations) != 3 || way.Destinations[1].Hop.Host != "there.test" {
		t.Errorf("JSON: %+v, %v", way, err)
	}
	if got := plic(t, dir, "", "route", "nonsense"); got.code != 1 {
		t.Errorf("an address that is none: %+v", got)
	}
	if got := plic(t, dir, "", "route"); got.code != 2 {
		t.Errorf("no address: %+v", got)
	}
}
