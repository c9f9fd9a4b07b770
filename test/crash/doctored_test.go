package crash

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// staged is a ledger as a load leaves it, with the survey that fits it. Of the
// ops without an answer a delivery and a move have happened, an expunge and a
// rename have not.
func staged() (*ledger, survey) {
	const a, b = "ann@x", "bob@x"
	l := newLedger()
	for _, token := range []string{"m1", "m2", "m3", "m4", "m5"} {
		l.register(token, "sum of "+token)
	}
	l.adopt(survey{facts: []fact{{Account: a, Box: inbox, Token: exists}, {Account: b, Box: inbox, Token: exists}, {Account: a, Box: "w", Token: exists}}})
	both := l.begin("smtp", "DATA m1", nil, []fact{{Account: a, Box: inbox, Token: "m1"}, {Account: b, Box: inbox, Token: "m1"}, {Account: elsewhere, Box: "m1.0@sink", Token: "m1"}})
	l.acknowledge(both, "250", 0)
	l.acknowledge(l.begin("imap", "APPEND m2", nil, []fact{{Account: a, Box: "w", Token: "m2"}}), "OK", 7, 1)
	l.acknowledge(l.begin("imap", "APPEND m3", nil, []fact{{Account: a, Box: "w", Token: "m3"}}), "OK", 7, 2)
	l.acknowledge(l.begin("imap", "STORE m2", []fact{{Account: a, Box: "w", Token: "m2", UID: 1}}, []fact{{Account: a, Box: "w", Token: "m2", UID: 1, Flags: `\Seen`}}), "OK", 0)
	l.acknowledge(l.begin("imap", "APPEND m5", nil, []fact{{Account: a, Box: "w", Token: "m5"}}), "OK", 7, 3)
	l.acknowledge(l.begin("imap", "EXPUNGE m5", []fact{{Account: a, Box: "w", Token: "m5", UID: 3}}, nil), "OK", 0)
	l.sighted(a, inbox, 3, 9, "m1")
	l.marked(a, inbox, mark{3, 10, 50}, false)
	l.versioned(a, "w", 7, message{uid: 1, modseq: 40, flags: `\Seen`})
	l.uidl(b, "3.1", "m1")
	l.begin("smtp", "DATA m4", nil, []fact{{Account: a, Box: inbox, Token: "m4"}, {Account: b, Box: inbox, Token: "m4"}})
	l.begin("imap", "MOVE m2", []fact{{Account: a, Box: "w", Token: "m2", UID: 1, Flags: `\Seen`}}, []fact{{Account: a, Box: inbox, Token: "m2", Flags: `\Seen`}})
	l.begin("imap", "EXPUNGE m3", []fact{{Account: a, Box: "w", Token: "m3", UID: 2}}, nil)
	return l, survey{
		facts: []fact{
			{Account: a, Box: inbox, Token: exists}, {Account: b, Box: inbox, Token: exists}, {Account: a, Box: "w", Token: exists},
			{Account: a, Box: inbox, Token: "m1", UID: 9}, {Account: b, Box: inbox, Token: "m1", UID: 1},
			{Account: elsewhere, Box: "m1.0@sink", Token: "m1"},
			{Account: a, Box: inbox, Token: "m4", UID: 10}, {Account: b, Box: inbox, Token: "m4", UID: 2},
			{Account: a, Box: inbox, Token: "m2", UID: 11, Flags: `\Seen`},
			{Account: a, Box: "w", Token: "m3", UID: 2},
		},
		sums: map[string][]string{"m1": {"sum of m1", "sum of m1"}, "m4": {"sum of m4"}},
	}
}

// without drops the facts that are like a text.
func without(s survey, like string) survey {
	n := len(s.facts)
	s.facts = slices.DeleteFunc(s.facts, func(f fact) bool { return f.String() == like })
	if len(s.facts) != n-1 {
		panic("no such fact: " + like)
	}
	return s
}

func with(s survey, f fact) survey {
	s.facts = append(s.facts, f)
	return s
}

// TestCrashLedgerNoticesEveryFault shows the ledger what a bad server would
// have done. An empty want is a good server.
func TestCrashLedgerNoticesEveryFault(t *testing.T) {
	const a, b = "ann@x", "bob@x"
	for _, c := range []struct {
		name, want string
		doctor     func(*ledger, survey) survey
	}{
		{"nothing", "", func(_ *ledger, s survey) survey { return s }},
		{"all that was open is absent", "", func(_ *ledger, s survey) survey {
			s = without(without(s, a+" INBOX m4 uid 10"), b+" INBOX m4 uid 2")
			return with(without(s, a+` INBOX m2 uid 11 \Seen`), fact{Account: a, Box: "w", Token: "m2", UID: 1, Flags: `\Seen`})
		}},
		{"an open expunge has happened", "", func(_ *ledger, s survey) survey { return without(s, a+" w m3 uid 2") }},
		{"an acknowledged delivery is gone", "lost", func(_ *ledger, s survey) survey { return without(s, b+" INBOX m1 uid 1") }},
		{"queued mail is gone", "lost", func(_ *ledger, s survey) survey { return without(s, "@ m1.0@sink m1") }},
		{"a mailbox is gone", "lost", func(_ *ledger, s survey) survey { return without(s, a+" w (exists)") }},
		{"a delivery is doubled", "doubled", func(_ *ledger, s survey) survey {
			return with(s, fact{Account: b, Box: inbox, Token: "m1", UID: 3})
		}},
		{"an open delivery is doubled", "doubled", func(_ *ledger, s survey) survey {
			return with(s, fact{Account: b, Box: inbox, Token: "m4", UID: 3})
		}},
		{"deleted mail returns", "come back", func(_ *ledger, s survey) survey {
			return with(s, fact{Account: a, Box: "w", Token: "m5", UID: 3})
		}},
		{"one recipient of two", "half", func(_ *ledger, s survey) survey { return without(s, b+" INBOX m4 uid 2") }},
		{"a move lost both", "half", func(_ *ledger, s survey) survey { return without(s, a+` INBOX m2 uid 11 \Seen`) }},
		{"a move left both", "half", func(_ *ledger, s survey) survey {
			return with(s, fact{Account: a, Box: "w", Token: "m2", UID: 1, Flags: `\Seen`})
		}},
		{"a message has another UID", "lost", func(_ *ledger, s survey) survey {
			return with(without(s, a+" INBOX m1 uid 9"), fact{Account: a, Box: inbox, Token: "m1", UID: 12})
		}},
		{"flags went back", "half", func(_ *ledger, s survey) survey {
			return with(without(s, a+` INBOX m2 uid 11 \Seen`), fact{Account: a, Box: "w", Token: "m2", UID: 1})
		}},
		{"a message has changed", "digest", func(_ *ledger, s survey) survey { s.sums["m4"] = []string{"other"}; return s }},
		{"refused, but there", "doubled", func(l *ledger, s survey) survey { l.refuse(l.pending[0], "451"); return s }},
		{"refused, but seen", "refused, but", func(l *ledger, s survey) survey {
			o := l.pending[0]
			l.sighted(a, inbox, 3, 10, "m4")
			l.refuse(o, "451")
			return s
		}},
		{"seen, then lost", "lost", func(l *ledger, s survey) survey {
			l.sighted(a, inbox, 3, 10, "m4")
			return without(without(s, a+" INBOX m4 uid 10"), b+" INBOX m4 uid 2")
		}},
		{"a UID names another", "named", func(l *ledger, s survey) survey { l.sighted(a, inbox, 3, 9, "m4"); return s }},
		{"a UIDL names another", "UIDL", func(l *ledger, s survey) survey { l.uidl(b, "3.1", "m4"); return s }},
		{"never sent", "nowhere", func(l *ledger, s survey) survey { l.sighted(a, inbox, 3, 12, "m9"); return s }},
		{"UIDVALIDITY fell", "fell", func(l *ledger, s survey) survey { l.marked(a, inbox, mark{2, 10, 50}, true); return s }},
		{"UIDNEXT fell", "fell", func(l *ledger, s survey) survey { l.marked(a, inbox, mark{3, 9, 50}, true); return s }},
		{"HIGHESTMODSEQ fell", "fell", func(l *ledger, s survey) survey { l.marked(a, inbox, mark{3, 10, 49}, true); return s }},
		{"a MODSEQ stands for two states", "same", func(l *ledger, s survey) survey {
			l.versioned(a, "w", 7, message{uid: 1, modseq: 40, flags: ""})
			return s
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := staged()
			if faults := l.report(); len(faults) > 0 {
				t.Fatalf("at first: %v", faults)
			}
			l.settle(c.doctor(l, s))
			faults := strings.Join(l.report(), "\n")
			if (faults == "") != (c.want == "") || !strings.Contains(faults, c.want) {
				t.Errorf("the ledger says %q, want %q", faults, c.want)
			}
		})
	}
}

// TestCrashLedgerNoticesAnOlderState puts the data directory back to what it
// was some operations before: a server that had not kept its promises since.
func TestCrashLedgerNoticesAnOlderState(t *testing.T) {
	t.Parallel()
	x := newTrial(t, 6, "0B", nil)
	x.doctored = true
	x.load(100)
	x.kill()
	x.restart(t)
	x.kill()
	data := x.site.dir + "/data"
	if out, err := exec.Command("cp", "-a", data, data+".old").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	x.sink.next()
	x.site.start(t)
	x.load(200)
	x.kill()
	if faults := x.ledger.report(); len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+".old", data); err != nil {
		t.Fatal(err)
	}
	x.sink.next()
	x.site.start(t)
	x.ledger.settle(x.survey(t))
	all := strings.Join(x.ledger.faults, "\n")
	for _, want := range []string{"lost: ", "come back", "counters of "} {
		if !strings.Contains(all, want) {
			t.Errorf("the ledger does not notice %q in\n%.3000s", want, all)
		}
	}
}
