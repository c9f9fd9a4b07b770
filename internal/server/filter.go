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

	"plic/internal/deliver/local"
	"plic/internal/scripts"
	"plic/internal/sieve"
)

// newFilter makes what runs the scripts of the site and of its users.
func (s *site) newFilter(now func() time.Time) (*local.Agent, error) {
	c := s.config
	offers := local.Site{Timeout: c.Sieve.ProgramTimeout, Lists: slices.Sorted(maps.Keys(s.routing.lists)),
		List: func(ctx context.Context, list, key string) (string, bool, error) {
			return s.routing.lists[list].Lookup(ctx, key)
		}}
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
