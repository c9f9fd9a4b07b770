// Package scripts keeps the filter scripts of accounts, as ManageSieve sees
// them: by name, at most one of them active. They are notes of the account, and
// go with it. A script is only kept if it compiles.
//
// RFC 5804 (what a script store can do), RFC 5228 (what a script is).
package scripts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"plic/internal/sieve"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// Errors of scripts; test with errors.Is.
var (
	ErrNone    = errors.New("there is no script of that name")
	ErrExists  = errors.New("there is a script of that name")
	ErrActive  = errors.New("the script is active")
	ErrName    = errors.New("that is no name for a script")
	ErrTooMany = errors.New("there are too many scripts")
	ErrTooBig  = errors.New("the script is too long")
)

// The bounds of a script's name in octets, and of what an account may keep.
const (
	MaxName    = 512
	MaxScripts = 64
)

const (
	prefix    = "sieve/script/"
	activeKey = "sieve/active"
)

// Script is one script of a list.
type Script struct {
	Name   string
	Active bool
}

// Options say what scripts may be.
type Options struct {
	Store *store.Store
	Sieve sieve.Options // but for Load, which is made for each account
	// Global finds a script of the site to include; nil has none.
	Global func(name string) (string, error)
}

// Keeper keeps the scripts of all accounts. Its methods may be called at the
// same time.
type Keeper struct {
	o  Options
	mu sync.Mutex // changes are rare: one at a time
}

// New makes a Keeper.
func New(o Options) *Keeper { return &Keeper{o: o} }

// Capabilities are those that scripts may require.
func (k *Keeper) Capabilities() []string {
	var all []string
	for _, name := range sieve.Capabilities() {
		if k.o.Sieve.Allow == nil && strings.HasPrefix(name, "vnd.") || k.o.Sieve.Allow != nil && !k.o.Sieve.Allow(name) {
			continue
		}
		all = append(all, name)
	}
	return all
}

// List gives the scripts of an account by name.
func (k *Keeper) List(ctx context.Context, a *store.Account) ([]Script, error) {
	active, err := k.activeName(ctx, a)
	if err != nil {
		return nil, err
	}
	notes, err := a.Notes().All(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list scripts: %w", err)
	}
	out := make([]Script, len(notes))
	for i, n := range notes {
		name := n.Key[len(prefix):]
		out[i] = Script{name, name == active}
	}
	return out, nil
}

// Get gives the text of a script.
func (k *Keeper) Get(ctx context.Context, a *store.Account, name string) (string, error) {
	text, err := a.Notes().Get(ctx, prefix+name)
	if errors.Is(err, engine.ErrNotFound) || len(name) > MaxName {
		return "", fmt.Errorf("script %q: %w", name, ErrNone)
	}
	return string(text), err
}

// Active gives the name and text of the active script; ErrNone if none is.
func (k *Keeper) Active(ctx context.Context, a *store.Account) (name, text string, err error) {
	if name, err = k.activeName(ctx, a); err != nil {
		return "", "", err
	}
	if name == "" {
		return "", "", ErrNone
	}
	text, err = k.Get(ctx, a, name)
	return name, text, err
}

func (k *Keeper) activeName(ctx context.Context, a *store.Account) (string, error) {
	name, err := a.Notes().Get(ctx, activeKey)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return "", fmt.Errorf("find the active script: %w", err)
	}
	return string(name), nil
}

// Compile compiles a script of an account, with those that it includes.
func (k *Keeper) Compile(ctx context.Context, a *store.Account, text string) (*sieve.Script, error) {
	o := k.o.Sieve
	o.Load = func(global bool, name string) (string, error) {
		if global {
			if k.o.Global == nil {
				return "", sieve.ErrNoScript
			}
			return k.o.Global(name)
		}
		text, err := k.Get(ctx, a, name)
		if errors.Is(err, ErrNone) {
			return "", sieve.ErrNoScript
		}
		return text, err
	}
	return sieve.Compile(text, o)
}

// Global gives the text of a script of the site.
func (k *Keeper) Global(name string) (string, error) {
	if k.o.Global == nil {
		return "", ErrNone
	}
	text, err := k.o.Global(name)
	if errors.Is(err, sieve.ErrNoScript) {
		return "", ErrNone
	}
	return text, err
}

// Room says whether a script of a size could be kept: ErrTooMany, ErrTooBig.
func (k *Keeper) Room(ctx context.Context, a *store.Account, name string, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	most := int64(k.o.Sieve.Limits.Script)
	if most == 0 {
		most = 256 << 10
	}
	if size > most {
		return fmt.Errorf("%w: at most %d octets", ErrTooBig, most)
	}
	all, err := k.List(ctx, a)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Name == name {
			return nil
		}
	}
	if len(all) >= MaxScripts {
		return fmt.Errorf("%w: at most %d", ErrTooMany, MaxScripts)
	}
	return nil
}

// Put keeps a script, in the place of one of the same name. What is wrong with
// it is a *sieve.Error.
func (k *Keeper) Put(ctx context.Context, a *store.Account, name, text string) error {
	if err := k.Room(ctx, a, name, int64(len(text))); err != nil {
		return err
	}
	if _, err := k.Compile(ctx, a, text); err != nil { // others need not wait for it
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.Room(ctx, a, name, int64(len(text))); err != nil {
		return err
	}
	return a.Notes().Put(ctx, prefix+name, []byte(text))
}

// Delete removes a script, but not the active one, RFC 5804 section 2.10.
func (k *Keeper) Delete(ctx context.Context, a *store.Account, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := k.Get(ctx, a, name); err != nil {
		return err
	}
	active, err := k.activeName(ctx, a)
	if err == nil && active == name {
		return fmt.Errorf("script %q: %w", name, ErrActive)
	}
	if err != nil {
		return err
	}
	return a.Notes().Put(ctx, prefix+name, nil)
}

// Activate makes a script the active one; "" makes none, RFC 5804 section 2.8.
func (k *Keeper) Activate(ctx context.Context, a *store.Account, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if name == "" {
		return a.Notes().Put(ctx, activeKey, nil)
	}
	if _, err := k.Get(ctx, a, name); err != nil {
		return err
	}
	return a.Notes().Put(ctx, activeKey, []byte(name))
}

// Rename gives a script another name; it stays active if it was, RFC 5804
// section 2.11.1.
func (k *Keeper) Rename(ctx context.Context, a *store.Account, from, to string) error {
	if err := checkName(to); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err := k.Get(ctx, a, from)
	if err != nil {
		return err
	}
	if _, err := k.Get(ctx, a, to); err == nil {
		return fmt.Errorf("script %q: %w", to, ErrExists)
	} else if !errors.Is(err, ErrNone) {
		return err
	}
	active, err := k.activeName(ctx, a)
	if err != nil {
		return err
	}
	tx := k.o.Store.Begin()
	tx.PutNote(a.Notes(), prefix+from, nil)
	tx.PutNote(a.Notes(), prefix+to, []byte(text))
	if active == from {
		tx.PutNote(a.Notes(), activeKey, []byte(to))
	}
	_, err = tx.Commit(ctx)
	return err
}

// checkName holds a name against RFC 5804 section 1.6.
func checkName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return fmt.Errorf("script %.50q: %w", name, ErrName)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("script %.50q: %w", name, ErrName)
		}
	}
	return nil
}
