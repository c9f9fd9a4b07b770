package route

import (
	"context"
	"errors"
	"strings"

	"plic/internal/mail"
	"plic/internal/table"
)

// errNoAddress is what a table says where it should name an address.
var errNoAddress = errors.New("it is no address")

// Step is one question that was asked on the way of a recipient.
type Step struct {
	Address string // whose way it is, "" for what concerns the sender or a domain
	Step    string // "alias", "transport" and so on
	Table   string // who was asked; "" if nobody needed to be
	Key     string // for what
	Found   bool
	Answer  string // what it leads to
	Trouble string // why there was no answer
}

// Explanation is the whole way of a recipient.
type Explanation struct {
	Sender       mail.Address // as it goes on
	Steps        []Step
	Destinations []Destination
}

// Explain does what Route does and tells every step. The steps are there
// whatever the error.
func (r *Router) Explain(ctx context.Context, from, to mail.Address) (Explanation, error) {
	var e Explanation
	w := &walk{router: r, trace: func(s Step) { e.Steps = append(e.Steps, s) }}
	var err error
	if e.Sender, err = w.form(ctx, from, EnvelopeSender); err != nil {
		return e, err
	}
	e.Destinations, err = w.route(ctx, e.Sender, to)
	return e, err
}

// note tells a step to whoever asks.
func (w *walk) note(s Step) {
	if w.trace != nil {
		if s.Address == "" {
			s.Address = w.at
		}
		w.trace(s)
	}
}

// answer is what tables said, and by which key.
type answer struct {
	value, key string
	found      bool
}

// ask asks the tables of a list for one key after the other.
func (w *walk) ask(ctx context.Context, step string, list table.List, keys ...string) (answer, error) {
	if len(list) == 0 {
		return answer{}, nil
	}
	for i, key := range keys {
		if key == "" || i > 0 && key == keys[i-1] {
			continue
		}
		for _, t := range list {
			value, found, err := t.Lookup(ctx, key)
			s := Step{Step: step, Table: t.Name, Key: key, Found: found, Answer: value}
			if err != nil {
				s.Trouble = err.Error()
				w.note(s)
				return answer{}, &mail.Failure{Op: "ask table " + t.Name + " for " + key, Err: err,
					Status: mail.Reply(451, "4.3.0", "a table does not answer, try again later")}
			}
			if found && step == "login" {
				s.Answer, _, _ = strings.Cut(value, ":")
				s.Answer += " with a password"
			}
			w.note(s)
			if found {
				return answer{strings.TrimSpace(value), key, true}, nil
			}
		}
	}
	return answer{}, nil
}

func texts(addresses []mail.Address) string {
	parts := make([]string, len(addresses))
	for i, a := range addresses {
		parts[i] = a.String()
	}
	return strings.Join(parts, ", ")
}
