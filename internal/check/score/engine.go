package score

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"plic/internal/mail"
)

// Greylister puts off who has not been here before.
type Greylister interface {
	// Wait says for how long a message is put off; 0 lets it pass.
	Wait(ctx context.Context, m *Message) (time.Duration, error)
}

// Options are what an Engine works with.
type Options struct {
	Parts    []Part
	Personal []Personal
	// Weights are the weights of symbols where they differ from their own; 0 never
	// counts.
	Weights map[string]float64
	// Limits are those of an account, or of the site for "".
	Limits     func(ctx context.Context, account string) Limits
	Greylister Greylister       // nil puts nothing off
	Timeout    time.Duration    // of all parts together; 15 s if 0
	Now        func() time.Time // time.Now if nil
	// Excepted are networks whose mail is not judged.
	Excepted []netip.Prefix
}

// Engine judges messages, any number at the same time.
type Engine struct {
	o       Options
	symbols map[string]Symbol
}

// New makes an Engine. A symbol that two parts give must be the same in both.
func New(o Options) (*Engine, error) {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limits == nil {
		o.Limits = func(context.Context, string) Limits { return Limits{} }
	}
	e := &Engine{o: o, symbols: map[string]Symbol{}}
	add := func(part string, all []Symbol) error {
		for _, s := range all {
			if other, ok := e.symbols[s.Name]; ok && other != s {
				return fmt.Errorf("two parts give the symbol %s with different meanings; one is %s", s.Name, part)
			}
			e.symbols[s.Name] = s
		}
		return nil
	}
	var errs []error
	for _, p := range o.Parts {
		errs = append(errs, add(p.Name(), p.Symbols()))
	}
	for _, p := range o.Personal {
		errs = append(errs, add(p.Name(), p.Symbols()))
	}
	for name := range o.Weights {
		if _, ok := e.symbols[name]; !ok {
			errs = append(errs, fmt.Errorf("there is no symbol %s", name))
		}
	}
	return e, errors.Join(errs...)
}

// Symbols are all that a message may have, by name, with the weights that count.
func (e *Engine) Symbols() []Symbol {
	all := make([]Symbol, 0, len(e.symbols))
	for _, s := range e.symbols {
		s.Weight = e.weight(s.Name)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Symbol) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (e *Engine) weight(symbol string) float64 {
	if w, ok := e.o.Weights[symbol]; ok {
		return w
	}
	return e.symbols[symbol].Weight
}

// Wants says that a message is judged: it is of a stranger.
func (e *Engine) Wants(env *mail.Envelope) bool { return env.Origin.Stranger(e.o.Excepted) }

// Verdict is what was found of a message, and what follows.
type Verdict struct {
	Score  float64
	Hits   []Hit // the heaviest first
	Costs  []Cost
	Limits Limits // that the score was held against
	Action Action
	Reason string // of Action, if there is more to say than the score

	message *Message
	failure *mail.Failure
	least   Answer
}

// Cost is what a part took, and what kept it from answering.
type Cost struct {
	Part    string
	Took    time.Duration
	Trouble string
}

// Judge has all parts look at a message, for the site.
func (e *Engine) Judge(ctx context.Context, m *Message) *Verdict {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	answers, costs, errs := make([]Answer, len(e.o.Parts)), make([]Cost, len(e.o.Parts)), make([]error, len(e.o.Parts))
	var all sync.WaitGroup
	for i, p := range e.o.Parts {
		all.Go(func() { answers[i], costs[i], errs[i] = e.look(ctx, p, m) })
	}
	all.Wait()
	v := &Verdict{Costs: costs, message: m, Limits: e.o.Limits(ctx, "")}
	for i, a := range answers {
		if failure, ok := errors.AsType[*mail.Failure](errs[i]); ok && (v.failure == nil || v.failure.Status.Temporary()) {
			v.failure = failure
		}
		v.Hits = append(v.Hits, a.Hits...)
		if a.Action > v.least.Action {
			v.least.Action, v.least.Reason = a.Action, a.Reason
		}
	}
	e.conclude(v)
	return v
}

// look asks one part. A fault of it is no fault of the message.
func (e *Engine) look(ctx context.Context, p Part, m *Message) (a Answer, c Cost, err error) {
	began := e.o.Now()
	defer func() {
		if r := recover(); r != nil {
			a, err = Answer{}, fmt.Errorf("it has a fault: %v", r)
		}
		c = Cost{Part: p.Name(), Took: e.o.Now().Sub(began)}
		if err != nil {
			c.Trouble = err.Error()
		}
	}()
	a, err = p.Look(ctx, m)
	return a, c, err
}

// JudgeFor is the verdict for one account: the site's, with what the account
// thinks of such messages, held against its own limits.
func (e *Engine) JudgeFor(ctx context.Context, site *Verdict, account string) *Verdict {
	v := *site
	v.Hits, v.Costs = slices.Clone(site.Hits), slices.Clone(site.Costs)
	v.Limits = e.o.Limits(ctx, account)
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	for _, p := range e.o.Personal {
		a, c, _ := e.look(ctx, personal{p, account}, site.message)
		v.Costs = append(v.Costs, c)
		if len(a.Hits) > 0 {
			own := p.Symbols()
			v.Hits = slices.DeleteFunc(v.Hits, func(old Hit) bool {
				return slices.ContainsFunc(own, func(s Symbol) bool { return s.Name == old.Symbol })
			})
		}
		v.Hits = append(v.Hits, a.Hits...)
	}
	e.conclude(&v)
	return &v
}

// personal asks for one account.
type personal struct {
	Personal
	account string
}

// Look looks for the account.
func (p personal) Look(ctx context.Context, m *Message) (Answer, error) {
	hits, err := p.LookFor(ctx, m, p.account)
	return Answer{Hits: hits}, err
}

// conclude sums up and says what follows.
func (e *Engine) conclude(v *Verdict) {
	v.Score = 0
	v.Hits = slices.DeleteFunc(v.Hits, func(h Hit) bool { return e.weight(h.Symbol) == 0 && e.symbols[h.Symbol].Weight != 0 })
	for i := range v.Hits {
		h := &v.Hits[i]
		factor := h.Factor
		if factor == 0 {
			factor = 1
		}
		h.Score = e.weight(h.Symbol) * factor
		v.Score += h.Score
	}
	v.Score = math.Round(v.Score*100) / 100
	slices.SortStableFunc(v.Hits, func(a, b Hit) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	v.Action, v.Reason = v.Limits.action(v.Score), ""
	if v.least.Action > v.Action || v.least.Action == Refuse {
		v.Action, v.Reason = v.least.Action, v.least.Reason
	}
}

// PutOff says whether a message whose verdict is Greylist is put off, and what its
// sender is told; nil if it is taken, as Taken says.
func (e *Engine) PutOff(ctx context.Context, v *Verdict) *mail.Failure {
	if e.o.Greylister == nil {
		return nil
	}
	wait, err := e.o.Greylister.Wait(ctx, v.message)
	if err != nil || wait <= 0 { // who cannot remember puts nobody off
		return nil
	}
	return &mail.Failure{Op: "greylist the message", Err: fmt.Errorf("its score is %.1f", v.Score),
		Status: mail.Reply(451, "4.7.1", fmt.Sprintf("you are not known here yet, try again in %d seconds", int(math.Ceil(wait.Seconds()))))}
}

// Taken is the verdict once it is clear that the message is taken: what would
// refuse it, or put it off, has it put into Junk at least.
func (v *Verdict) Taken() *Verdict {
	if v.Action < Greylist {
		return v
	}
	next := *v
	if next.Action = v.Limits.taken(v.Score); v.Action == Refuse {
		next.Action = max(next.Action, Junk)
	}
	return &next
}
