package native

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/sasl"
)

// The operations of the log. All but the first are changes; a put replaces
// what was there, so that applying one twice does no harm.
const (
	opFormat        = "format"
	opSecret        = "secret"
	opDomain        = "domain"
	opRemoveDomain  = "remove-domain" // with all accounts and aliases in it
	opAccount       = "account"
	opRemoveAccount = "remove-account"
	opAlias         = "alias"
	opRemoveAlias   = "remove-alias"
)

// record is one line of the log, without its checksum.
type record struct {
	Op       string    `json:"op"`
	Version  int       `json:"version,omitempty"`
	Name     string    `json:"name,omitempty"` // domain, user@domain, or @domain
	Secret   string    `json:"secret,omitempty"`
	Hash     string    `json:"hash,omitempty"`
	SCRAM    string    `json:"scram,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	Targets  []string  `json:"targets,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	logins
}

type domain struct {
	name    mail.Domain
	created time.Time
	members map[string]*account // by key
	first   *account            // the oldest
	aliases map[string]*alias   // by key
}

type account struct {
	name     string
	address  mail.Address
	number   uint64 // rises from account to account
	hash     string
	scram    string // parsed when needed: opening many accounts must be quick
	disabled bool
	logins   logins
	created  time.Time
}

func (a *account) account() (directory.Account, error) {
	out := directory.Account{Name: a.name, Disabled: a.disabled, Secret: directory.Secret{Hash: a.hash}}
	if a.scram != "" {
		out.Secret.SCRAM = new(sasl.Verifier)
		if err := out.Secret.SCRAM.UnmarshalText([]byte(a.scram)); err != nil {
			return directory.Account{}, fmt.Errorf("account %s: %w", a.name, err)
		}
	}
	if err := a.logins.into(&out); err != nil {
		return directory.Account{}, fmt.Errorf("account %s: %w", a.name, err)
	}
	return out, nil
}

type alias struct {
	name    string // an address, or "@domain"
	targets []mail.Address
	created time.Time
}

// state is what the log adds up to.
type state struct {
	secret   string
	domains  map[mail.Domain]*domain
	accounts map[string]*account // by key
	aliases  map[string]*alias   // by key, or "@domain"
	number   uint64
}

func newState() state {
	return state{domains: map[mail.Domain]*domain{}, accounts: map[string]*account{}, aliases: map[string]*alias{}}
}

func (s *state) target(key, detail string) (directory.Target, bool) {
	if a := s.accounts[key]; a != nil {
		return directory.Target{Account: a.name, Detail: detail}, true
	}
	if a := s.aliases[key]; a != nil {
		return directory.Target{Aliases: a.targets, Detail: detail}, true
	}
	return directory.Target{}, false
}

// size is how many lines the state takes.
func (s *state) size() int {
	return 2 + len(s.domains) + len(s.accounts) + len(s.aliases)
}

// errNewer is a line that a later version of plic wrote. Going on without it
// would lose it at the next compaction.
var errNewer = errors.New("written by a newer version of plic")

// apply makes one change. An error means that the record makes no sense, and
// nothing was changed.
func (s *state) apply(r record) error {
	switch r.Op {
	case opFormat:
		if r.Version > formatVersion {
			return errNewer
		}
	case opSecret:
		s.secret = r.Secret
	case opDomain, opRemoveDomain:
		return s.applyDomain(r)
	case opAccount, opRemoveAccount:
		return s.applyAccount(r)
	case opAlias, opRemoveAlias:
		return s.applyAlias(r)
	default:
		return fmt.Errorf("operation %q: %w", r.Op, errNewer)
	}
	return nil
}

func (s *state) applyDomain(r record) error {
	name, err := mail.ParseDomain(r.Name)
	if err != nil {
		return err
	}
	if r.Op == opDomain {
		s.domain(name, r.Time)
		return nil
	}
	if d := s.domains[name]; d != nil {
		for k := range d.members {
			delete(s.accounts, k)
		}
		for k := range d.aliases {
			delete(s.aliases, k)
		}
		delete(s.domains, name)
	}
	return nil
}

// domain finds a domain or makes it: when its line was damaged, its accounts
// live on.
func (s *state) domain(name mail.Domain, created time.Time) *domain {
	d := s.domains[name]
	if d == nil {
		d = &domain{name: name, created: created, members: map[string]*account{}, aliases: map[string]*alias{}}
		s.domains[name] = d
	}
	return d
}

func (s *state) applyAccount(r record) error {
	address, err := mail.ParseAddress(r.Name)
	if err != nil {
		return err
	}
	k := key(address)
	if r.Op == opRemoveAccount {
		if s.accounts[k] == nil {
			return nil
		}
		d := s.domains[address.Domain]
		delete(s.accounts, k)
		delete(d.members, k)
		if d.first.address == address {
			d.first = d.oldest()
		}
		return nil
	}
	d := s.domain(address.Domain, r.Time)
	a := &account{name: r.Name, address: address, hash: r.Hash, scram: r.SCRAM, disabled: r.Disabled, logins: r.logins, created: r.Time}
	if old := s.accounts[k]; old != nil {
		a.number = old.number
	} else {
		s.number++
		a.number = s.number
	}
	s.accounts[k], d.members[k] = a, a
	if d.first == nil || d.first.number == a.number {
		d.first = a
	}
	return nil
}

func (d *domain) oldest() (first *account) {
	for _, a := range d.members {
		if first == nil || a.number < first.number {
			first = a
		}
	}
	return first
}

func (s *state) applyAlias(r record) error {
	k, of, err := aliasKey(r.Name)
	if err != nil {
		return err
	}
	if r.Op == opRemoveAlias {
		if s.aliases[k] != nil {
			delete(s.aliases, k)
			delete(s.domains[of].aliases, k)
		}
		return nil
	}
	a := &alias{name: r.Name, created: r.Time}
	for _, text := range r.Targets {
		t, err := mail.ParseAddress(text)
		if err != nil {
			return err
		}
		a.targets = append(a.targets, t)
	}
	if len(a.targets) == 0 {
		return fmt.Errorf("alias %s: no targets", r.Name)
	}
	s.aliases[k], s.domain(of, r.Time).aliases[k] = a, a
	return nil
}

// aliasKey reads the name of an alias: an address, or "@domain".
func aliasKey(name string) (string, mail.Domain, error) {
	if text, ok := strings.CutPrefix(name, "@"); ok {
		d, err := mail.ParseDomain(text)
		return "@" + d.String(), d, err
	}
	a, err := mail.ParseAddress(name)
	return key(a), a.Domain, err
}

// records writes the state down from the beginning: domains first, accounts by
// age, so that the oldest stays the oldest.
func (s *state) records() []record {
	all := make([]record, 0, s.size())
	all = append(all, record{Op: opSecret, Secret: s.secret})
	for _, d := range s.domains {
		all = append(all, record{Op: opDomain, Name: d.name.String(), Time: d.created})
	}
	accounts := slices.SortedFunc(maps.Values(s.accounts), func(a, b *account) int { return int(int64(a.number - b.number)) })
	for _, a := range accounts {
		all = append(all, a.record())
	}
	for _, a := range s.aliases {
		all = append(all, a.record())
	}
	return all
}

func (a *account) record() record {
	return record{Op: opAccount, Name: a.name, Hash: a.hash, SCRAM: a.scram, Disabled: a.disabled, logins: a.logins, Time: a.created}
}

func (a *alias) record() record {
	r := record{Op: opAlias, Name: a.name, Time: a.created}
	for _, t := range a.targets {
		r.Targets = append(r.Targets, t.String())
	}
	return r
}
