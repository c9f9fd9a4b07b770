// Package signs looks for signs of spam and fraud in what a message itself shows:
// its header and how it is made, what the checks of its sender found, where its
// links lead, what its files are, and whom its names make a reader think of.
//
// RFC 5322 (what a header must and may have), RFC 2045 and 2046 (MIME), RFC 8601.
package signs

import (
	"context"
	"strings"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/content"
	"plic/internal/lookalike"
	"plic/internal/mail"
	"plic/internal/message"
)

// Options are what a Part works with.
type Options struct {
	Host string // our name, which nobody else may have in a Received field
	// Ours says that a domain is ours, and Domains has those that others may be made
	// to look like, as one registers them.
	Ours    func(ctx context.Context, d mail.Domain) bool
	Domains func() *lookalike.Set
	Now     func() time.Time
}

// Part is a score.Part.
type Part struct {
	o       Options
	weights map[string]bool
}

var _ score.Part = (*Part)(nil)

// New makes a Part.
func New(o Options) *Part {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ours == nil {
		o.Ours = func(context.Context, mail.Domain) bool { return false }
	}
	if o.Domains == nil {
		none := lookalike.NewSet(nil)
		o.Domains = func() *lookalike.Set { return none }
	}
	p := &Part{o: o, weights: map[string]bool{}}
	for _, s := range p.Symbols() {
		p.weights[s.Name] = true
	}
	return p
}

// Name names the part.
func (p *Part) Name() string { return "signs" }

// look is one message being looked at.
type look struct {
	*Part
	ctx     context.Context // of this message alone
	m       *score.Message
	found   *sender.Findings // nil if nobody looked
	content *content.Content
	fields  map[string][]string // unfolded, by lower-case name
	authors []message.Mailbox
	author  string // the registered domain of the first author
	answer  score.Answer
}

// hit notes a symbol; the detail of the first counts.
func (l *look) hit(symbol, detail string) { l.part(symbol, 1, detail) }

func (l *look) part(symbol string, factor float64, detail string) {
	if !l.weights[symbol] {
		panic("no symbol " + symbol)
	}
	for _, h := range l.answer.Hits {
		if h.Symbol == symbol {
			return
		}
	}
	l.answer.Hits = append(l.answer.Hits, score.Hit{Symbol: symbol, Factor: factor, Detail: clip(detail)})
}

// when notes a symbol if something is so.
func (l *look) when(is bool, symbol, detail string) {
	if is {
		l.hit(symbol, detail)
	}
}

// Look looks at a message.
func (p *Part) Look(ctx context.Context, m *score.Message) (score.Answer, error) {
	l := &look{Part: p, ctx: ctx, m: m, content: m.Content(), fields: map[string][]string{}}
	for _, f := range m.Parsed.Root.Header {
		name := strings.ToLower(f.Name)
		l.fields[name] = append(l.fields[name], f.Text())
	}
	for _, box := range message.ParseAddressList(l.first("from")) {
		if !box.Group {
			l.authors = append(l.authors, box)
		}
	}
	if len(l.authors) > 0 {
		l.author = registered(l.authors[0].Host)
	}
	l.header()
	l.subject()
	l.trace()
	l.structure()
	l.text()
	l.links()
	l.files()
	l.found = m.Sender(ctx) // the last of all: what goes before it need not wait
	l.client()
	l.proofs()
	l.names()
	return l.answer, nil
}

// first is the first field of a name.
func (l *look) first(name string) string {
	if all := l.fields[name]; len(all) > 0 {
		return all[0]
	}
	return ""
}

func (l *look) has(name string) bool { return len(l.fields[name]) > 0 }

// registered is the domain that a host belongs to, or the host itself where no
// public suffix is known.
func registered(host string) string {
	host = content.Host(host)
	if d := content.Registered(host); d != "" {
		return d
	}
	return host
}

func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
