package learn

import (
	"context"
	"strings"

	"plic/internal/check/score"
	"plic/internal/content"
	"plic/internal/mail"
	"plic/internal/store/recall"
)

// wroteSymbol is that of whom a user has written to.
const wroteSymbol = "WRITTEN_TO"

// maxWritten is how many recipients of one message are remembered: who writes to more
// at once expects no answers.
const maxWritten = 20

// Wrote remembers whom an account writes to.
func (l *Learner) Wrote(account string, to []mail.Recipient) {
	if len(to) > maxWritten {
		return
	}
	for _, r := range to {
		for _, key := range []string{writtenBy(account, r.Address), "wrote " + written(r.Address)} {
			l.names.Change(key, func(r recall.Record) recall.Record { r.Good = min(r.Good+1, most); return r })
		}
	}
}

func written(a mail.Address) string {
	return strings.ToLower(a.Local) + "@" + content.Host(a.Domain.String())
}

func writtenBy(account string, a mail.Address) string { return "wrote " + account + " " + written(a) }

// Written is the part that knows whom an account has written to.
type Written struct{ l *Learner }

// Written gives the part.
func (l *Learner) Written() Written { return Written{l} }

var _ score.Personal = Written{}

// Name names the part.
func (Written) Name() string { return "correspondents" }

// Symbols are the one.
func (Written) Symbols() []score.Symbol {
	return []score.Symbol{{Name: wroteSymbol, Weight: -3.0, Says: "The recipient has written to the author, and the author's domain has proven to be that."}}
}

// LookFor says whether the account has written to the author.
func (w Written) LookFor(ctx context.Context, m *score.Message, account string) ([]score.Hit, error) {
	author := authorOf(m.Parsed.Root.Get("From"))
	_, host, _ := strings.Cut(author, "@")
	domain := provenDomain(m.Sender(ctx))
	if domain == "" || content.Registered(host) != content.Registered(domain) {
		return nil, nil
	}
	if r, ok := w.l.names.Get("wrote " + account + " " + author); !ok || r.Good == 0 {
		return nil, nil
	}
	return []score.Hit{{Symbol: wroteSymbol, Detail: author}}, nil
}
