package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// Credentials are what a client logs in with.
type Credentials struct{ User, Password string }

// Choose begins an exchange with the best of the mechanisms that a server
// offers. Bindings are the connection's; the mechanisms that show the password
// are used only if it is secure. Names of mechanisms compare without case.
func Choose(offered []string, c Credentials, secure bool, bindings []Binding) (Client, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) })
	}
	switch {
	case has(SCRAMPlus) && len(bindings) > 0:
		return NewSCRAMClient(c, true, bindings)
	case has(SCRAM):
		return NewSCRAMClient(c, false, bindings)
	case has(Plain) && secure:
		return &plainClient{c}, nil
	case has(Login) && secure:
		return &loginClient{c: c}, nil
	case has(Plain) || has(Login):
		return nil, errors.New("the server wants the password in the clear, and the connection is not encrypted")
	}
	return nil, fmt.Errorf("no mechanism in common: the server offers %.200q", strings.Join(offered, " "))
}

// plainClient is PLAIN, RFC 4616.
type plainClient struct{ c Credentials }

// Mechanism is PLAIN.
func (*plainClient) Mechanism() string { return Plain }

// Finish has nothing to check: PLAIN proves nothing of the server.
func (*plainClient) Finish() error { return nil }

// Next gives the one response.
func (p *plainClient) Next([]byte) ([]byte, error) {
	return []byte("\x00" + p.c.User + "\x00" + p.c.Password), nil
}

// loginClient is LOGIN; what the server asks is not looked at, because servers
// ask in different words.
type loginClient struct {
	c     Credentials
	steps int
}

// Mechanism is LOGIN.
func (*loginClient) Mechanism() string { return Login }

// Finish has nothing to check: LOGIN proves nothing of the server.
func (*loginClient) Finish() error { return nil }

// Next gives the name, then the password.
func (l *loginClient) Next([]byte) ([]byte, error) {
	l.steps++
	switch l.steps {
	case 1:
		return nil, nil
	case 2:
		return []byte(l.c.User), nil
	case 3:
		return []byte(l.c.Password), nil
	}
	return nil, errors.New("the server asks for more than a name and a password")
}

type scramClient struct {
	name  string
	conv  *scram.ClientConversation
	steps int
}

// NewSCRAMClient begins SCRAM-SHA-256, or with plus SCRAM-SHA-256-PLUS over the
// first of the bindings. Without plus, bindings that were there to use make the
// exchange fail if somebody took PLUS out of the server's offer.
func NewSCRAMClient(c Credentials, plus bool, bindings []Binding) (Client, error) {
	password, err := Prepare(c.Password)
	if err != nil {
		return nil, err
	}
	client, err := scram.SHA256.NewClientUnprepped(c.User, password, "")
	if err != nil {
		return nil, err
	}
	client.WithMinIterations(MinIterations)
	switch {
	case plus && len(bindings) == 0:
		return nil, errors.New("the connection has no channel binding")
	case plus:
		b, _ := find(bindings, bindings[0].Type)
		return &scramClient{name: SCRAMPlus, conv: client.NewConversationWithChannelBinding(b)}, nil
	case len(bindings) > 0:
		return &scramClient{name: SCRAM, conv: client.NewConversationAdvertisingChannelBinding()}, nil
	}
	return &scramClient{name: SCRAM, conv: client.NewConversation()}, nil
}

// Mechanism is SCRAM-SHA-256 or SCRAM-SHA-256-PLUS.
func (s *scramClient) Mechanism() string { return s.name }

// Next gives the first message, then the final one, then nothing.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if len(challenge) > MaxResponse {
		return nil, ErrTooLong
	}
	s.steps++
	if s.steps == 2 { // before the library does what the server asks
		if err := checkServerFirst(string(challenge)); err != nil {
			return nil, err
		}
	}
	answer, err := s.conv.Step(string(challenge))
	if err != nil {
		return nil, fmt.Errorf("SCRAM: %w", err)
	}
	return []byte(answer), nil
}

func checkServerFirst(text string) error {
	for field := range strings.SplitSeq(text, ",") {
		if count, ok := strings.CutPrefix(field, "i="); ok {
			if n, err := strconv.Atoi(count); err != nil || n > MaxIterations {
				return fmt.Errorf("%w: the server asks for %.20q iterations", ErrMalformed, count)
			}
		}
	}
	return nil
}

// Finish fails if the server has not shown that it knows the password too.
func (s *scramClient) Finish() error {
	if !s.conv.Valid() {
		return errors.New("SCRAM: the server has not proved that it knows the password")
	}
	return nil
}
