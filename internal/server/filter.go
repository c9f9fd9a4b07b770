package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"plic/internal/config"
	"plic/internal/deliver/local"
	"plic/internal/imapd"
	"plic/internal/post"
	"plic/internal/scripts"
	"plic/internal/sieve"
	"plic/internal/store"
)

// newFilter makes what runs the scripts of the site and of its users.
func (s *site) newFilter(now func() time.Time) (*local.Agent, error) {
	c := s.config
	offers := local.Site{Timeout: c.Sieve.ProgramTimeout, Lists: slices.Sorted(maps.Keys(s.routing.lists)),
		List: func(ctx context.Context, list, key string) (string, bool, error) {
			return s.routing.lists[list].Lookup(ctx, key)
		}}
	offers.Viruses = s.viruses
	if len(c.Sieve.Programs) > 0 {
		offers.Run = s.pipes().Run
	}
	options := sieve.Options{Allow: offers.Offers}
	s.scripts = scripts.New(scripts.Options{Store: s.store, Sieve: options, Global: s.included})
	options.Load = func(global bool, name string) (string, error) {
		if !global {
			return "", sieve.ErrNoScript
		}
		return s.included(name)
	}
	o := local.Options{Scripts: s.scripts, Host: c.Hostname, Now: now, Log: s.log, Site: offers}
	for _, x := range []struct {
		files []string
		to    *[]*sieve.Script
	}{{c.Sieve.Before, &o.Before}, {c.Sieve.After, &o.After}} {
		for _, file := range x.files {
			text, err := readText(file)
			if err != nil {
				return nil, fmt.Errorf("read a filter script: %w", err)
			}
			script, err := sieve.Compile(text, options)
			if err != nil {
				return nil, fmt.Errorf("filter script %s: %w", file, err)
			}
			*x.to = append(*x.to, script)
		}
	}
	return local.New(o), nil
}

// included finds a script of the site by its name.
func (s *site) included(name string) (string, error) {
	if s.config.Sieve.Include == "" || name != filepath.Base(name) {
		return "", sieve.ErrNoScript
	}
	text, err := readText(filepath.Join(s.config.Sieve.Include, name+".sieve"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", sieve.ErrNoScript
	}
	return text, err
}

func readText(file string) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}

// standing is imapd.Filters: it runs scripts over what is in mailboxes.
type standing struct {
	agent  *local.Agent
	office *post.Office
	url    string
}

func (s *site) standing(c *config.Config) standing {
	url := ""
	if len(c.Listen.Sieve) > 0 {
		url = "sieve://" + c.Hostname.String()
	}
	return standing{s.filter, s.office, url}
}

// URL is where scripts are kept.
func (s standing) URL() string { return s.url }

// Chosen prepares the scripts that a user wishes.
func (s standing) Chosen(ctx context.Context, account *store.Account, how, what string) (imapd.Filter, error) {
	chain, err := s.agent.Chosen(ctx, account, how, what)
	return s.of(chain), faultOf(err)
}

// Event prepares the script of a mailbox.
func (s standing) Event(ctx context.Context, mb *store.Mailbox) (imapd.Filter, error) {
	chain, err := s.agent.Event(ctx, mb)
	if chain == nil || err != nil {
		return nil, faultOf(err)
	}
	return s.of(chain), nil
}

func (s standing) of(chain []*sieve.Script) imapd.Filter { return prepared{s, chain} }

type prepared struct {
	standing
	chain []*sieve.Script
}

// Run runs the scripts over a message.
func (p prepared) Run(ctx context.Context, m imapd.Standing) error {
	return faultOf(p.office.Refile(ctx, p.agent, &local.Standing{
		Mailbox: m.Mailbox, Entry: m.Entry, Flags: m.Flags, User: m.User, Cause: m.Cause, Changed: m.Changed,
	}, p.chain))
}

// faultOf tells the faults of scripts from others.
func faultOf(err error) error {
	fault, ok := errors.AsType[*sieve.Error](err)
	switch {
	case ok:
		return &imapd.Fault{Text: fault.Error()}
	case errors.Is(err, scripts.ErrNone), errors.Is(err, scripts.ErrName):
		return &imapd.Fault{Text: err.Error()}
	}
	return err
}
