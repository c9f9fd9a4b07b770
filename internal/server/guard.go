package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"plic/internal/check"
	"plic/internal/check/milter"
	"plic/internal/config"
	"plic/internal/mail"
	"plic/internal/smtpd"
)

// openRules opens the tables of the door.
func (s *site) openRules() error {
	c := s.config
	op := opener{o: s.tables()}
	s.access = check.Options{
		Clients: op.open("access.clients", c.Access.Clients), Helos: op.open("access.helos", c.Access.Helos),
		Senders: op.open("access.senders", c.Access.Senders), Recipients: op.open("access.recipients", c.Access.Recipients),
	}
	if c.Access.Policy != "" {
		o := check.PolicyOptions{Network: "tcp", Address: c.Access.Policy, Timeout: c.Access.PolicyTimeout, Open: c.Access.PolicyOpen}
		if path, ok := strings.CutPrefix(c.Access.Policy, "unix:"); ok {
			o.Network, o.Address = "unix", path
		}
		s.access.Policy = check.NewPolicy(o)
	}
	return errors.Join(op.errs...)
}

// guards are the rules of the door, and behind them the milters.
type guards struct {
	*check.Door
	milters *milter.Client
}

func (g guards) Client(ctx context.Context, o *mail.Origin) error {
	if err := g.Door.Client(ctx, o); err != nil {
		return err
	}
	return g.milters.Client(ctx, o)
}

func (g guards) Hello(ctx context.Context, o *mail.Origin) error {
	if err := g.Door.Hello(ctx, o); err != nil {
		return err
	}
	return g.milters.Hello(ctx, o)
}

func (g guards) Sender(ctx context.Context, env *mail.Envelope) error {
	if err := g.Door.Sender(ctx, env); err != nil {
		return err
	}
	return g.milters.Sender(ctx, env)
}

func (g guards) Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error {
	if err := g.Door.Recipient(ctx, env, to); err != nil {
		return err
	}
	return g.milters.Recipient(ctx, env, to)
}

func (g guards) Gone(conn mail.ID) { g.milters.Gone(conn) }

// newMilters makes the client of the site's milters.
func (s *site) newMilters(now func() time.Time) (*milter.Client, error) {
	o := milter.Options{Host: s.config.Hostname.String(), Version: Version(), Now: now, Journal: s.journal, Log: s.log}
	var errs []error
	for _, text := range s.config.SMTP.Milters {
		f, err := milter.Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("smtp.milters: %w", err))
		}
		o.Filters = append(o.Filters, f)
	}
	return milter.New(o), errors.Join(errs...)
}

// door makes the rules of a configuration.
func (s *site) door(c *config.Config) smtpd.Guard { return guards{s.bars(c), s.milters} }

func (s *site) bars(c *config.Config) *check.Door {
	o := s.access
	o.Listed = s.listed
	o.Host, o.Resolver = c.Hostname.String(), s.resolver
	o.UnknownSenders, o.StrictHelo = c.Access.UnknownSenders, c.Access.StrictHelo
	o.Rates = check.Rates{
		Connections: c.Access.Connections,
		Messages:    check.Volume{Network: c.Access.NetworkMessages, Account: c.Access.AccountMessages},
		Recipients:  check.Volume{Network: c.Access.NetworkRecipients, Account: c.Access.AccountRecipients},
	}
	return check.New(o)
}
