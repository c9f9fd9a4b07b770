// Package score judges messages. Parts look at a message, side by side and within
// one deadline, and give the symbols that they find in it: each symbol has a name,
// a weight and a sentence, and each hit says what of this message made it. The sum
// of the weights is the score, and the limits of a site, a domain or an account say
// what follows from it.
//
// A part that fails, or is not done in time, says nothing, and the verdict tells of
// that; one that must not be left out ends in a *mail.Failure, which puts the
// message off.
package score

import (
	"context"
	"sync"

	"plic/internal/check/sender"
	"plic/internal/content"
	"plic/internal/mail"
	"plic/internal/message"
)

// Symbol is something that can be said of a message.
type Symbol struct {
	Name   string  // as headers show it and settings name it
	Weight float64 // what it adds to the score; good signs are below 0
	Says   string  // what it means, in a sentence
}

// Hit is a symbol found in a message.
type Hit struct {
	Symbol string
	Detail string  // what of this message
	Factor float64 // how much of the weight counts; 0 is all of it
	Score  float64 // weight times factor; the engine's
}

// Answer is what a part has to say of a message.
type Answer struct {
	Hits []Hit
	// Action is the least that must become of the message, whatever its score, and
	// Reason says why, to its sender if it is refused.
	Action Action
	Reason string
}

// Part looks at messages, any number at the same time.
type Part interface {
	Name() string
	// Symbols are all that it may give.
	Symbols() []Symbol
	// Look looks at a message. A *mail.Failure refuses it for now or for good; any
	// other error leaves the part out.
	Look(ctx context.Context, m *Message) (Answer, error)
}

// Personal is a part that knows what an account thinks of such messages.
type Personal interface {
	Name() string
	Symbols() []Symbol
	// LookFor gives hits that count for the account alone. If there are any, they take
	// the place of the site's hits of all its symbols.
	LookFor(ctx context.Context, m *Message, account string) ([]Hit, error)
}

// Message is what parts look at.
type Message struct {
	Envelope *mail.Envelope
	Parsed   *message.Message
	Body     mail.Body // as it came, without what we put before it

	found    chan struct{}
	findings *sender.Findings
	content  func() *content.Content

	mu   sync.Mutex
	kept map[any]func() any
}

// Once gives what parts make of the message for each other: the first who asks for a
// key makes it.
func (m *Message) Once(key any, make func() any) any {
	m.mu.Lock()
	if m.kept == nil {
		m.kept = map[any]func() any{}
	}
	one := m.kept[key]
	if one == nil {
		one = sync.OnceValue(make)
		m.kept[key] = one
	}
	m.mu.Unlock()
	return one()
}

// NewMessage is a message whose sender is still being looked for: Found must be
// called.
func NewMessage(env *mail.Envelope, parsed *message.Message, body mail.Body) *Message {
	return &Message{
		Envelope: env, Parsed: parsed, Body: body, found: make(chan struct{}),
		content: sync.OnceValue(func() *content.Content { return content.Read(parsed, body) }),
	}
}

// Found says once what was found of the sender; nil if nobody has looked.
func (m *Message) Found(f *sender.Findings) {
	m.findings = f
	close(m.found)
}

// Sender waits for what is found of the sender; nil if nobody looks, or not in
// time.
func (m *Message) Sender(ctx context.Context) *sender.Findings {
	select {
	case <-m.found:
		return m.findings
	case <-ctx.Done():
		return nil
	}
}

// Content is what a reader would see and where it leads.
func (m *Message) Content() *content.Content { return m.content() }
