package server

import (
	"errors"
	"strings"

	"plic/internal/check"
	"plic/internal/config"
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
		s.access.Policy = &check.Policy{Network: "tcp", Address: c.Access.Policy, Timeout: c.Access.PolicyTimeout, Open: c.Access.PolicyOpen}
		if path, ok := strings.CutPrefix(c.Access.Policy, "unix:"); ok {
			s.access.Policy.Network, s.access.Policy.Address = "unix", path
		}
	}
	return errors.Join(op.errs...)
}

// door makes the rules of a configuration.
func (s *site) door(c *config.Config) *check.Door {
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
