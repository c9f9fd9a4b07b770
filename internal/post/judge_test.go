package post

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"plic/internal/check/score"
	"plic/internal/deliver/local"
	"plic/internal/mail"
	"plic/internal/route"
	"plic/internal/scripts"
)

// counting scores a message by its stars; carl wants nothing refused.
type counting struct{ limits score.Limits }

func (counting) Name() string { return "stars" }
func (counting) Symbols() []score.Symbol {
	return []score.Symbol{{Name: "STARS", Weight: 1, Says: "It has stars."}}
}
func (counting) Look(_ context.Context, m *score.Message) (score.Answer, error) {
	if n := strings.Count(m.Content().Text, "*"); n > 0 {
		return score.Answer{Hits: []score.Hit{{Symbol: "STARS", Factor: float64(n)}}}, nil
	}
	return score.Answer{}, nil
}

func (c counting) judge(t *testing.T, g score.Greylister) *score.Engine {
	t.Helper()
	e, err := score.New(score.Options{Parts: []score.Part{c}, Greylister: g, Limits: func(_ context.Context, account string) score.Limits {
		l := c.limits
		if account == "carl@here.test" {
			l.Refuse, l.Greylist = 0, 0
		}
		return l
	}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// minutes puts everything off.
type minutes struct{}

func (minutes) Wait(context.Context, *score.Message) (time.Duration, error) { return time.Minute, nil }

func judging(t *testing.T, own map[string]string, l score.Limits, g score.Greylister) *office {
	t.Helper()
	o := filtering(t, own)
	o.Office = New(Options{
		Store: o.store, Router: route.New(route.Options{Directory: o.people}), Directory: o.people,
		Reporter: plainReporter{}, Now: time.Now, Lifetime: time.Hour, Host: "mx.here.test", Judge: counting{l}.judge(t, g),
		Filter: local.New(local.Options{Scripts: scripts.New(scripts.Options{Store: o.store}), Host: mail.MustDomain("mx.here.test")}),
	})
	o.Schedule(o.told)
	return o
}

// bring posts a stranger's message with so many stars.
func (o *office) bring(stars int, to ...string) error {
	env := envelope("x@there.test", to...)
	env.Origin.Service, env.Origin.Remote = "smtp", netip.MustParseAddrPort("192.0.2.1:25")
	_, err := o.post(env, "X-Spam-Flag: NO\r\nx-spam-STATUS: No\r\n"+letter+strings.Repeat("*", stars)+"\r\n")
	return err
}

// TestScore has a message put where its score belongs for each account.
func TestScore(t *testing.T) {
	l := score.Limits{Tag: 2, Subject: "[spam?]", Junk: 4, Refuse: 8}
	for name, x := range map[string]struct {
		stars  int
		to     []string
		status string // of a refusal
		box    map[string]string
	}{
		"clean":          {0, []string{"ann@here.test"}, "", map[string]string{"ann@here.test": "INBOX"}},
		"tagged":         {2, []string{"ann@here.test"}, "", map[string]string{"ann@here.test": "INBOX"}},
		"junk":           {4, []string{"ann@here.test", "carl@here.test"}, "", map[string]string{"ann@here.test": "Junk", "carl@here.test": "Junk"}},
		"refused":        {8, []string{"ann@here.test", "bob@here.test"}, "550 5.7.1", nil},
		"not for all":    {8, []string{"ann@here.test", "carl@here.test"}, "", map[string]string{"ann@here.test": "Junk", "carl@here.test": "Junk"}},
		"also elsewhere": {8, []string{"carl@here.test", "mixed@here.test"}, "", map[string]string{"carl@here.test": "Junk", "ann@here.test": "Junk"}},
	} {
		o := judging(t, nil, l, nil)
		err := o.bring(x.stars, x.to...)
		if f, ok := errors.AsType[*mail.Failure](err); x.status != "" && (!ok || f.Status.String()[:9] != x.status) || x.status == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for account, box := range x.box {
			o.want(account, box, 1)
		}
		if x.box == nil {
			o.want("ann@here.test", "INBOX", 0)
			o.want("ann@here.test", "Junk", 0)
		}
		for _, item := range o.items() {
			if item.Envelope.From.IsNull() || item.To[0].Notify != mail.NotifyNever {
				t.Errorf("%s: a report may go out", name)
			}
		}
	}
	o := judging(t, nil, l, nil)
	if err := o.bring(2, "ann@here.test"); err != nil {
		t.Fatal(err)
	}
	text := o.inbox("ann@here.test")[0]
	if !strings.Contains(text, "X-Spam-Status: No, score=2.0 required=4.0\r\n\ttests=STARS=2.0\r\n") || strings.Contains(text, "X-Spam-Flag") ||
		strings.Contains(text, "x-spam") || !strings.Contains(text, "Subject: [spam?] hello\r\n") {
		t.Errorf("what is told:\n%s", text)
	}
}

// TestSubmissionIsNotScored leaves alone what our users send.
func TestSubmissionIsNotScored(t *testing.T) {
	o := judging(t, nil, score.Limits{Refuse: 1}, nil)
	env := envelope("ann@here.test", "bob@here.test")
	env.Origin.Service, env.Origin.Account, env.Origin.Remote = "submission", "ann@here.test", netip.MustParseAddrPort("192.0.2.1:25")
	wrote := ""
	o.o.Wrote = func(account string, to []mail.Recipient) { wrote = account + " to " + to[0].Address.String() }
	if _, err := o.post(env, "X-Spam-Flag: NO\r\n"+letter+"*****\r\n"); err != nil {
		t.Fatal(err)
	}
	if wrote != "ann@here.test to bob@here.test" {
		t.Errorf("whom she wrote to: %q", wrote)
	}
	if text := o.inbox("bob@here.test")[0]; strings.Contains(text, "X-Spam-Score") || !strings.Contains(text, "X-Spam-Flag: NO") {
		t.Errorf("%s", text)
	}
}

// TestGreylisted puts off a message if all it is for want that.
func TestGreylisted(t *testing.T) {
	l := score.Limits{Greylist: 3, Junk: 4, Refuse: 8}
	o := judging(t, nil, l, minutes{})
	if f, ok := errors.AsType[*mail.Failure](o.bring(3, "ann@here.test", "bob@here.test")); !ok || f.Status.String()[:9] != "451 4.7.1" {
		t.Errorf("it is not put off: %v", f)
	}
	if err := o.bring(3, "ann@here.test", "carl@here.test"); err != nil {
		t.Errorf("one does not want it: %v", err)
	}
	o.want("ann@here.test", "INBOX", 1)
	if f, ok := errors.AsType[*mail.Failure](o.bring(8, "ann@here.test")); !ok || f.Status.Code != 550 {
		t.Errorf("it is not refused at once: %v", f)
	}
}

// TestQuarantine keeps a message from its recipients, and says for whom it was.
func TestQuarantine(t *testing.T) {
	l := score.Limits{Junk: 4, Quarantine: 6, Refuse: 8}
	o := judging(t, nil, l, nil)
	if err := o.bring(6, "ann@here.test"); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "Junk", 1) // nobody looks after a quarantine
	o.o.Quarantine = mail.MustAddress("carl@here.test")
	if err := o.bring(6, "ann@here.test", "bob@here.test"); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "Junk", 1)
	o.want("bob@here.test", "Junk", 0)
	o.want("carl@here.test", "INBOX", 1)
	if text := o.inbox("carl@here.test")[0]; !strings.Contains(text, "X-Spam-Recipients: ann@here.test, bob@here.test\r\n") {
		t.Errorf("%s", text)
	}
}

// TestSpamtest lets scripts ask for the score, RFC 5235.
func TestSpamtest(t *testing.T) {
	o := judging(t, map[string]string{
		"ann@here.test": `require ["spamtest", "spamtestplus", "relational", "comparator-i;ascii-numeric", "fileinto"];
if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "50" { fileinto "Trash"; }
elsif spamtest :percent :value "ge" :comparator "i;ascii-numeric" "25" { fileinto "Archive"; }`,
	}, score.Limits{Junk: 4, Refuse: 8}, nil)
	for stars, box := range map[int]string{0: "INBOX", 3: "Archive", 5: "Trash"} {
		if err := o.bring(stars, "ann@here.test"); err != nil {
			t.Fatal(err)
		}
		o.want("ann@here.test", box, 1)
	}
}

// TestDemands carries out what a part wants whatever the score: to throw a message
// away, or to refuse it, also where an account takes all.
func TestDemands(t *testing.T) {
	o := judging(t, nil, score.Limits{}, nil)
	for action, want := range map[score.Action]string{score.Discard: "ok", score.Refuse: "550 5.7.1", score.Defer: "451 4.7.1", score.Junk: "ok"} {
		e, err := score.New(score.Options{Parts: []score.Part{demanding{action}}})
		if err != nil {
			t.Fatal(err)
		}
		o.o.Judge = e
		err = o.bring(0, "ann@here.test", "carl@here.test")
		got := "ok"
		if f, ok := errors.AsType[*mail.Failure](err); ok {
			got = f.Status.String()[:9]
		}
		if got != want {
			t.Errorf("%v: %s, want %s", action, got, want)
		}
	}
	o.want("ann@here.test", "INBOX", 0)
	o.want("ann@here.test", "Junk", 1)
	o.want("carl@here.test", "Junk", 1)
}

// demanding wants one action for all.
type demanding struct{ action score.Action }

func (demanding) Name() string            { return "demanding" }
func (demanding) Symbols() []score.Symbol { return nil }
func (d demanding) Look(context.Context, *score.Message) (score.Answer, error) {
	return score.Answer{Action: d.action, Reason: "it is wanted so"}, nil
}
