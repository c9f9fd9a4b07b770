package score

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/check/sender"
	"plic/internal/mail"
	"plic/internal/message"
)

// part answers what it is told to.
type part struct {
	name    string
	symbols []Symbol
	look    func(ctx context.Context, m *Message) (Answer, error)
}

func (p part) Name() string      { return p.name }
func (p part) Symbols() []Symbol { return p.symbols }
func (p part) Look(ctx context.Context, m *Message) (Answer, error) {
	return p.look(ctx, m)
}

// says is a part that gives hits.
func says(hits ...Hit) part {
	return part{"says", []Symbol{{"BAD", 4, "It is bad."}, {"GOOD", -2, "It is good."}, {"TOLD", 0, "It is told."}},
		func(context.Context, *Message) (Answer, error) { return Answer{Hits: hits}, nil }}
}

func letter(t testing.TB, text string) *Message {
	t.Helper()
	parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := NewMessage(&mail.Envelope{Origin: mail.Origin{Service: "smtp", Remote: netip.MustParseAddrPort("192.0.2.1:1")}}, parsed, mail.Bytes([]byte(text)))
	m.Found(nil)
	return m
}

func engine(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func limits(l Limits) func(context.Context, string) Limits {
	return func(context.Context, string) Limits { return l }
}

// TestJudge sums up what parts say, and holds it against the limits.
func TestJudge(t *testing.T) {
	site := Limits{Tag: 3, Greylist: 5, Junk: 6, Quarantine: 9, Refuse: 12}
	for name, x := range map[string]struct {
		parts   []Part
		weights map[string]float64
		limits  Limits
		want    Action
		score   float64
	}{
		"nothing":          {nil, nil, site, Accept, 0},
		"told only":        {[]Part{says(Hit{Symbol: "TOLD"})}, nil, site, Accept, 0},
		"tagged":           {[]Part{says(Hit{Symbol: "BAD"})}, nil, site, Tag, 4},
		"half of it":       {[]Part{says(Hit{Symbol: "BAD", Factor: 0.5})}, nil, site, Accept, 2},
		"good beside bad":  {[]Part{says(Hit{Symbol: "BAD"}, Hit{Symbol: "GOOD"})}, nil, site, Accept, 2},
		"greylisted":       {[]Part{says(Hit{Symbol: "BAD", Factor: 1.5})}, nil, site, Greylist, 6},
		"junk":             {[]Part{says(Hit{Symbol: "BAD", Factor: 1.5})}, nil, Limits{Junk: 6}, Junk, 6},
		"quarantined":      {[]Part{says(Hit{Symbol: "BAD"})}, map[string]float64{"BAD": 10}, Limits{Junk: 6, Quarantine: 9, Refuse: 12}, Quarantine, 10},
		"refused":          {[]Part{says(Hit{Symbol: "BAD"})}, map[string]float64{"BAD": 12}, site, Refuse, 12},
		"switched off":     {[]Part{says(Hit{Symbol: "BAD"})}, map[string]float64{"BAD": 0}, site, Accept, 0},
		"no limits at all": {[]Part{says(Hit{Symbol: "BAD", Factor: 100})}, nil, Limits{}, Accept, 400},
		"demanded": {[]Part{part{"virus", nil, func(context.Context, *Message) (Answer, error) {
			return Answer{Action: Refuse, Reason: "it has a virus"}, nil
		}}}, nil, Limits{}, Refuse, 0},
		"put off": {[]Part{part{"down", nil, func(context.Context, *Message) (Answer, error) {
			return Answer{}, &mail.Failure{Op: "scan", Status: mail.Reply(451, "4.3.5", "later")}
		}}}, nil, Limits{}, Accept, 0},
		"fails":  {[]Part{part{"down", nil, func(context.Context, *Message) (Answer, error) { return Answer{}, errors.New("down") }}, says(Hit{Symbol: "BAD"})}, nil, site, Tag, 4},
		"panics": {[]Part{part{"down", nil, func(context.Context, *Message) (Answer, error) { panic("a fault") }}, says(Hit{Symbol: "BAD"})}, nil, site, Tag, 4},
	} {
		e := engine(t, Options{Parts: x.parts, Weights: x.weights, Limits: limits(x.limits)})
		v := e.Judge(t.Context(), letter(t, "Subject: x\r\n\r\n"))
		if v.Action != x.want || v.Score != x.score {
			t.Errorf("%s: %s", name, v.Summary())
		}
		switch f := v.Failure(); {
		case name == "put off":
			if f == nil || f.Status.Code != 451 {
				t.Errorf("%s: %v", name, f)
			}
		case (f != nil) != (x.want == Refuse) || f != nil && f.Status.String()[:9] != "550 5.7.1":
			t.Errorf("%s: %v", name, f)
		}
		if name == "fails" && !strings.Contains(v.Summary(), "down says nothing: down") {
			t.Errorf("%s: %s", name, v.Summary())
		}
	}
}

// TestDeadline leaves out a part that is not done in time.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := part{"slow", nil, func(ctx context.Context, _ *Message) (Answer, error) {
			<-ctx.Done()
			return Answer{}, ctx.Err()
		}}
		e := engine(t, Options{Parts: []Part{slow, says(Hit{Symbol: "BAD"})}, Timeout: 3 * time.Second, Limits: limits(Limits{Junk: 4})})
		began := time.Now()
		v := e.Judge(t.Context(), letter(t, "\r\n"))
		if took := time.Since(began); took != 3*time.Second || v.Action != Junk || v.Costs[0].Trouble == "" {
			t.Errorf("%v: %s", took, v.Summary())
		}
	})
}

// TestSender lets parts wait for what is found of the sender.
func TestSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := letter(t, "\r\n")
		m.found = make(chan struct{})
		found := &sender.Findings{Junk: "forged"}
		waits := part{"waits", []Symbol{{"FORGED", 1, "It is."}}, func(ctx context.Context, m *Message) (Answer, error) {
			if f := m.Sender(ctx); f != nil {
				return Answer{Hits: []Hit{{Symbol: "FORGED", Detail: f.Junk}}}, nil
			}
			return Answer{}, nil
		}}
		time.AfterFunc(time.Second, func() { m.Found(found) })
		if v := engine(t, Options{Parts: []Part{waits}}).Judge(t.Context(), m); v.Score != 1 {
			t.Errorf("%s", v.Summary())
		}
		m.found = make(chan struct{})
		if v := engine(t, Options{Parts: []Part{waits}}).Judge(t.Context(), m); v.Score != 0 {
			t.Errorf("nobody says: %s", v.Summary())
		}
	})
}

// own is a part of one account.
type own struct{ hits map[string]Hit }

func (own) Name() string      { return "own" }
func (own) Symbols() []Symbol { return []Symbol{{"BAD", 4, "It is bad."}} }
func (o own) LookFor(_ context.Context, _ *Message, account string) ([]Hit, error) {
	if h, ok := o.hits[account]; ok {
		return []Hit{h}, nil
	}
	return nil, nil
}

// TestAccounts have limits and opinions of their own.
func TestAccounts(t *testing.T) {
	e := engine(t, Options{
		Parts: []Part{says(Hit{Symbol: "BAD"})}, Personal: []Personal{own{map[string]Hit{"ann": {Symbol: "BAD", Factor: -1}}}},
		Limits: func(_ context.Context, account string) Limits {
			if account == "bob" {
				return Limits{Refuse: 4}
			}
			return Limits{Junk: 4}
		},
	})
	site := e.Judge(t.Context(), letter(t, "\r\n"))
	for account, want := range map[string]string{"ann": "accept, score -4.0 of 4.0; BAD -4.0", "bob": "refuse, score 4.0 of 0.0; BAD +4.0", "carl": "junk, score 4.0 of 4.0; BAD +4.0"} {
		if v := e.JudgeFor(t.Context(), site, account); v.Summary() != want {
			t.Errorf("%s: %s, want %s", account, v.Summary(), want)
		}
	}
	if site.Action != Junk || len(site.Hits) != 1 {
		t.Errorf("the site's has changed: %s", site.Summary())
	}
	if v := e.JudgeFor(t.Context(), site, "bob").Taken(); v.Action != Junk {
		t.Errorf("what is taken for others too: %s", v.Summary())
	}
}

// TestPercent has the values of RFC 5235 run with the score.
func TestPercent(t *testing.T) {
	for score, want := range map[float64]int{-5: 0, 0: 0, 3: 25, 5.9: 48, 6: 50, 10.5: 75, 15: 100, 99: 100} {
		v := Verdict{Score: score, Limits: Limits{Junk: 6, Refuse: 15}}
		if got := v.Percent(); got != want {
			t.Errorf("%v: %d, want %d", score, got, want)
		}
	}
	if got := (&Verdict{Score: 12}).Percent(); got != 100 {
		t.Errorf("without limits: %d", got)
	}
}

// TestFields sees the header fields, whose lines stay short.
func TestFields(t *testing.T) {
	v := &Verdict{Score: 7.25, Limits: Limits{Junk: 6}, Action: Junk}
	for range 9 {
		v.Hits = append(v.Hits, Hit{Symbol: "SOME_LONG_SYMBOL", Score: 0.5})
	}
	text := string(v.Fields(false))
	for _, want := range []string{"X-Spam-Flag: YES\r\n", "X-Spam-Score: 7.2\r\n", "X-Spam-Level: *******\r\n", "X-Spam-Status: Yes, score=7.2 required=6.0\r\n\ttests=SOME_LONG_SYMBOL=0.5,"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
	if text := string((&Verdict{Limits: Limits{Junk: 6}}).Fields(false)); strings.Contains(text, "Flag") || !strings.Contains(text, "Status: No, score=0.0 required=6.0\r\n\ttests=none\r\n") {
		t.Errorf("a good one: %s", text)
	}
}

// TestSymbols must be told apart.
func TestSymbols(t *testing.T) {
	two := part{"two", []Symbol{{"BAD", 1, "It is bad otherwise."}}, nil}
	if _, err := New(Options{Parts: []Part{says(), two}}); err == nil {
		t.Error("one symbol with two meanings is taken")
	}
	if _, err := New(Options{Parts: []Part{says()}, Weights: map[string]float64{"BAAD": 1}}); err == nil {
		t.Error("the weight of no symbol is taken")
	}
	if all := engine(t, Options{Parts: []Part{says()}, Weights: map[string]float64{"BAD": 7}}).Symbols(); len(all) != 3 || all[0].Weight != 7 {
		t.Errorf("%v", all)
	}
}

// TestReplay holds a record against the engine that made it, which says the same
// again, and against others.
func TestReplay(t *testing.T) {
	t.Parallel()
	at := Limits{Junk: 3, Refuse: 10}
	one := engine(t, Options{Parts: []Part{says(Hit{Symbol: "BAD", Factor: 0.75}, Hit{Symbol: "BAD"}, Hit{Symbol: "GOOD"}, Hit{Symbol: "TOLD"})}, Limits: limits(at)})
	v := one.Judge(t.Context(), letter(t, "Subject: x\r\n\r\n"))
	for name, x := range map[string]struct {
		o      Options
		limits Limits
		record []string
		action Action
		score  float64
		why    string
	}{
		"the same":         {Options{Parts: []Part{says()}}, at, v.Record(), Junk, 5, ""},
		"other limits":     {Options{Parts: []Part{says()}}, Limits{Refuse: 4}, v.Record(), Refuse, 5, ""},
		"other weights":    {Options{Parts: []Part{says()}, Weights: map[string]float64{"BAD": 1}}, at, v.Record(), Accept, -0.25, "BAD +7.0 → +1.8"},
		"without the part": {Options{}, at, v.Record(), Accept, 0, "BAD +7.0 → +0.0, GOOD -2.0 → +0.0"},
		"whatever":         {Options{}, at, []string{"least=refuse"}, Refuse, 0, ""},
		"nonsense":         {Options{Parts: []Part{says()}}, at, []string{"", "BAD", "BAD x", "least=x"}, Accept, 0, ""},
	} {
		all := engine(t, x.o).Replay(x.record, func(string) Limits { return x.limits })
		got, before, changes := all[0].Verdict, all[0].Before, all[0].Changes
		if len(all) != 1 || got.Action != x.action || got.Score != x.score || strings.Join(changes, ", ") != x.why {
			t.Errorf("%s: %s %v %q", name, got.Action, got.Score, changes)
		}
		if len(x.record) == len(v.Record()) && name != "nonsense" && before != v.Score {
			t.Errorf("%s: it was %v, not %v", name, before, v.Score)
		}
	}
}

// TestReplayForEach replays what accounts thought of a message, and their limits: what
// becomes of it for each is what Together and Taken say, as for the message itself.
func TestReplayForEach(t *testing.T) {
	t.Parallel()
	at := map[string]Limits{"": {Junk: 6, Refuse: 10}, "ann@here.test": {Junk: 2, Refuse: 10}, "bob@here.test": {Junk: 20}, "carl@here.test": {Refuse: 4}, "dan@here.test": {Refuse: 2}}
	hold := func(_ context.Context, account string) Limits { return at[account] }
	one := engine(t, Options{Parts: []Part{says(Hit{Symbol: "BAD"}, Hit{Symbol: "TOLD"})}, Personal: []Personal{likes{"bob@here.test"}}, Limits: hold})
	site := one.Judge(t.Context(), letter(t, "Subject: x\r\n\r\n"))
	for _, x := range []struct {
		accounts, want string
		scores         []float64
	}{
		{"ann@here.test", "junk", []float64{4}}, {"bob@here.test", "accept", []float64{-2}}, {"", "accept", []float64{4}},
		{"ann@here.test bob@here.test", "accept, junk", []float64{4, -2}}, {"carl@here.test dan@here.test", "refuse", []float64{4, 4}},
		{"bob@here.test carl@here.test", "accept, junk", []float64{-2, 4}},
	} {
		var ends []For
		var all, again []*Verdict
		for _, account := range strings.Split(x.accounts, " ") {
			v := site
			if account != "" {
				v = one.JudgeFor(t.Context(), site, account)
			}
			ends, all = append(ends, For{account, v}), append(all, v)
		}
		record := site.RecordFor(ends)
		var scores []float64
		for _, r := range one.Replay(record, func(account string) Limits { return at[account] }) {
			again, scores = append(again, r.Verdict), append(scores, r.Verdict.Score)
			if r.Before != r.Verdict.Score || len(r.Changes) > 0 {
				t.Errorf("%s: %v before, %q", r.Account, r.Before, r.Changes)
			}
		}
		if got := Fate(all); got != x.want || Fate(again) != got || !slices.Equal(scores, x.scores) {
			t.Errorf("%s: %s, again %s %v, by %q", x.accounts, got, Fate(again), scores, record)
		}
	}
}

// likes is a part that one account teaches.
type likes struct{ account string }

func (likes) Name() string      { return "likes" }
func (likes) Symbols() []Symbol { return says().Symbols() }

func (likes) Look(context.Context, *Message) (Answer, error) { return Answer{}, nil }

func (l likes) LookFor(_ context.Context, _ *Message, account string) ([]Hit, error) {
	if account != l.account {
		return nil, nil
	}
	return []Hit{{Symbol: "GOOD"}}, nil
}
