package learn

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"plic/internal/authres"
	"plic/internal/bayes"
	"plic/internal/check/greylist"
	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/content"
	"plic/internal/dkim"
	"plic/internal/message"
	"plic/internal/spf"
	"plic/internal/store/recall"
)

// The symbols of what was learnt.
const (
	spamSymbol = "BAYES_SPAM"
	hamSymbol  = "BAYES_HAM"
	badSymbol  = "KNOWN_BAD"
	goodSymbol = "KNOWN_GOOD"
)

// Words is the part that goes by the words of a message, for the site and, where an
// account has taught enough, for that.
type Words struct{ l *Learner }

// Words gives the part.
func (l *Learner) Words() Words { return Words{l} }

var (
	_ score.Part     = Words{}
	_ score.Personal = Words{}
	_ score.Part     = Names{}
)

// Name names the part.
func (Words) Name() string { return "bayes" }

// Symbols are both.
func (Words) Symbols() []score.Symbol {
	return []score.Symbol{
		{Name: spamSymbol, Weight: 6.6, Says: "Its words are those of spam, as far as users have taught them; the more certain, the more it counts."},
		{Name: hamSymbol, Weight: -3.5, Says: "Its words are those of mail that users keep; the more certain, the more it counts."},
	}
}

type featuresKey struct{}

func (w Words) features(m *score.Message) []bayes.Feature {
	return m.Once(featuresKey{}, func() any {
		return bayes.Features(w.l.site.Seed(), m.Parsed.Root.Header, m.Content(), false)
	}).([]bayes.Feature)
}

// Look asks the model of the site.
func (w Words) Look(_ context.Context, m *score.Message) (score.Answer, error) {
	site := w.site(m)
	if !site.ok {
		return score.Answer{}, nil
	}
	return score.Answer{Hits: hitsOf(site.p, site.clues, "")}, nil
}

// LookFor asks the model of an account, and believes it twice as much as the site's.
func (w Words) LookFor(ctx context.Context, m *score.Message, account string) ([]score.Hit, error) {
	own, err := w.l.models.open(ctx, w.l, account, false)
	if err != nil || own == nil {
		return nil, err
	}
	p, clues, ok := w.ask(own, m)
	if !ok {
		return nil, nil
	}
	if site := w.site(m); site.ok {
		p = (2*p + site.p) / 3
	}
	return hitsOf(p, clues, ", by what "+account+" has taught"), nil
}

// saying is what a model says of a message.
type saying struct {
	p     float64
	clues int
	ok    bool
}

type sayingKey struct{}

// site is what the model of the site says, asked once for all accounts.
func (w Words) site(m *score.Message) saying {
	return m.Once(sayingKey{}, func() any {
		p, clues, ok := w.ask(w.l.site, m)
		return saying{p, clues, ok}
	}).(saying)
}

// ask asks a model; ok is false for one that has learnt too little to say anything.
func (w Words) ask(of *bayes.Model, m *score.Message) (p float64, clues int, ok bool) {
	if ham, spam := of.Trained(); ham < w.l.o.Minimum || spam < w.l.o.Minimum {
		return 0, 0, false
	}
	p, found := of.Classify(w.features(m))
	return p, len(found), len(found) > 0
}

// hitsOf is a chance as a symbol: near a half it says nothing.
func hitsOf(p float64, clues int, by string) []score.Hit {
	symbol := spamSymbol
	if p < 0.5 {
		symbol = hamSymbol
	}
	factor := math.Pow(math.Abs(p-0.5)*2, 1.5)
	if factor < 0.01 {
		return nil
	}
	return []score.Hit{{Symbol: symbol, Factor: factor, Detail: fmt.Sprintf("a chance of %.1f %% by %d words%s", 100*p, clues, by)}}
}

// Explain gives the words of a message that say most, by the model of an account or,
// if it has none or is "", of the site.
func (l *Learner) Explain(ctx context.Context, account string, m *message.Message, c *content.Content) (float64, []bayes.Clue, error) {
	model := l.site
	if account != "" {
		own, err := l.models.open(ctx, l, account, false)
		if err != nil {
			return 0, nil, err
		}
		if own != nil {
			model = own
		}
	}
	p, clues := model.Classify(bayes.Features(l.site.Seed(), m.Root.Header, c, true))
	return p, clues, nil
}

// Names is the part that goes by whom a message comes from.
type Names struct{ l *Learner }

// Names gives the part.
func (l *Learner) Names() Names { return Names{l} }

// Name names the part.
func (Names) Name() string { return "reputation" }

// Symbols are both.
func (Names) Symbols() []score.Symbol {
	return []score.Symbol{
		{Name: badSymbol, Weight: 3.0, Says: "Users have put into Junk what came from this sender, domain or network; the more of it, the more it counts."},
		{Name: goodSymbol, Weight: -2.0, Says: "Users have kept what came from this sender or domain, and it is proven to be that; the more of it, the more it counts."},
	}
}

// halfLife is the time in which half of a reputation is forgotten.
const halfLife = 45 * 24 * time.Hour

// Look says what is known of whom a message comes from. Of several names the one
// that is known best counts: a sender before its domain, a domain before a network.
func (n Names) Look(ctx context.Context, m *score.Message) (a score.Answer, err error) {
	for _, who := range n.l.of(ctx, m) {
		good, bad := n.l.reputation(who.key)
		if good+bad < 1.5 { // one opinion is none
			continue
		}
		// From -1 to 1, with the weight of two more opinions that are undecided.
		ratio := (bad - good) / (bad + good + 2)
		detail := fmt.Sprintf("%s: %.0f kept, %.0f put into Junk", who.shown, good, bad)
		switch {
		case ratio > 0.1:
			a.Hits = append(a.Hits, score.Hit{Symbol: badSymbol, Factor: ratio, Detail: detail})
		case ratio < -0.1 && who.proven:
			a.Hits = append(a.Hits, score.Hit{Symbol: goodSymbol, Factor: -ratio, Detail: detail})
		}
		return a, nil
	}
	return a, nil
}

// Known says that users have kept mail of the sender and never put any into Junk, or
// have written to the author: for greylisting.
func (l *Learner) Known(ctx context.Context, m *score.Message) bool {
	for _, who := range l.of(ctx, m) {
		if good, bad := l.reputation(who.key); who.proven && good >= 0.5 && bad < 0.5 {
			return true
		}
		if address, ok := strings.CutPrefix(who.key, "from "); ok && who.proven {
			if _, ok := l.names.Get("wrote " + address); ok {
				return true
			}
		}
	}
	return false
}

// reputation is what is left of opinions.
func (l *Learner) reputation(key string) (good, bad float64) {
	r, ok := l.names.Get(key)
	if !ok {
		return 0, 0
	}
	left := math.Pow(0.5, float64(l.o.Now().Sub(r.Last))/float64(halfLife))
	return float64(r.Good) * left, float64(r.Bad) * left
}

// who is a name that a message may be known by.
type who struct {
	key, shown string
	proven     bool
}

// of are the names of a message that is coming in, the closest first.
func (l *Learner) of(ctx context.Context, m *score.Message) []who {
	f := m.Sender(ctx)
	return names(authorOf(m.Parsed.Root.Get("From")), provenDomain(f), greylist.Network(m.Envelope.Origin.Remote.Addr()))
}

func names(author, domain, network string) (all []who) {
	if _, host, ok := strings.Cut(author, "@"); ok && domain != "" && content.Registered(host) == content.Registered(domain) {
		all = append(all, who{"from " + author, author, true})
	}
	if domain != "" {
		all = append(all, who{"domain " + domain, domain, true})
	}
	if network != "" {
		all = append(all, who{"network " + network, network, false})
	}
	return all
}

func authorOf(field string) string {
	for _, box := range message.ParseAddressList(field) {
		if !box.Group {
			return strings.ToLower(box.Local) + "@" + content.Host(box.Host)
		}
	}
	return ""
}

// provenDomain is the domain that vouches for a message, "" for none. A signature is
// closer to the author than who brings it.
func provenDomain(f *sender.Findings) string {
	if f == nil {
		return ""
	}
	for _, r := range f.DKIM {
		if r.Status == dkim.Pass {
			return strings.ToLower(r.Domain)
		}
	}
	if f.From.Result == spf.Pass {
		return strings.ToLower(f.From.Domain)
	}
	return ""
}

// most is how far a reputation goes, so that a sender who turns bad is not good for
// ever.
const most = 50

// name gives whom a message came from a name for it.
func (l *Learner) name(s Sample, again bool) {
	for _, w := range l.told(s) {
		l.names.Change(w.key, func(r recall.Record) recall.Record {
			left := float32(math.Pow(0.5, float64(l.o.Now().Sub(r.Last))/float64(halfLife)))
			r.Good, r.Bad = r.Good*left, r.Bad*left
			counts := [2]*float32{&r.Good, &r.Bad}
			*counts[s.Class] = min(*counts[s.Class]+1, most)
			if again {
				*counts[s.Class.Other()] = max(*counts[s.Class.Other()]-1, 0)
			}
			return r
		})
	}
}

// told are the names that we found for a message when it came, by what we wrote
// before it.
func (l *Learner) told(s Sample) []who {
	var domain, network string
	for name, field := range message.Fields(s.Prefix) {
		_, value, _ := strings.Cut(string(field), ":")
		if !strings.EqualFold(name, authres.Name) || !strings.EqualFold(authres.Server(value), l.o.Host) {
			continue
		}
		all, err := authres.Parse(value)
		if err != nil {
			continue
		}
		for _, r := range all.Results {
			switch {
			case r.Method == "dkim" && r.Result == "pass" && r.Get("header", "d") != "":
				domain = strings.ToLower(r.Get("header", "d"))
			case r.Method == "spf" && r.Result == "pass" && domain == "" && r.Get("smtp", "mailfrom") != "":
				from := r.Get("smtp", "mailfrom")
				domain = content.Host(from[strings.LastIndexByte(from, '@')+1:])
			case r.Method == "iprev":
				network = networkOf(r.Get("policy", "iprev"))
			}
		}
		break
	}
	if domain == "" && network == "" {
		return nil
	}
	return names(l.authorIn(s), domain, network)
}
