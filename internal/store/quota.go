package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"plic/internal/store/engine"
)

// Usage is what an account or a domain has: the resources of RFC 9208 section
// 5.
type Usage struct {
	Bytes     int64 `json:"bytes,omitempty"`
	Messages  int64 `json:"messages,omitempty"`
	Mailboxes int64 `json:"mailboxes,omitempty"`
}

// Unlimited is the limit of a resource that has none, where zero would be the
// site's.
const Unlimited = -1

// ErrQuota says that something would be more than a quota allows; errors.As
// gives the *QuotaError.
var ErrQuota = errors.New("over quota")

// QuotaError tells which quota is full.
type QuotaError struct {
	Root  string // the account or domain
	Never bool   // even with nothing there it would not fit
}

// Error names the quota.
func (e *QuotaError) Error() string { return "the quota of " + e.Root + " is full" }

// Is makes it an ErrQuota.
func (e *QuotaError) Is(target error) bool { return target == ErrQuota }

func (u *Usage) add(more Usage) {
	u.Bytes += more.Bytes
	u.Messages += more.Messages
	u.Mailboxes += more.Mailboxes
}

func (u Usage) negative() Usage { return Usage{-u.Bytes, -u.Messages, -u.Mailboxes} }

// or fills the limits that are not set with others.
func (u Usage) or(other Usage) Usage {
	fill := func(a *int64, b int64) {
		if *a == 0 {
			*a = b
		}
	}
	fill(&u.Bytes, other.Bytes)
	fill(&u.Messages, other.Messages)
	fill(&u.Mailboxes, other.Mailboxes)
	return u
}

// allow says whether more fits below a limit. What takes nothing more always
// does, also where the limit was lowered below what is there.
func (u Usage) allow(root string, limit, more Usage) error {
	for _, r := range [...]struct{ used, limit, more int64 }{
		{u.Bytes, limit.Bytes, more.Bytes},
		{u.Messages, limit.Messages, more.Messages},
		{u.Mailboxes, limit.Mailboxes, more.Mailboxes},
	} {
		if r.limit > 0 && r.more > 0 && r.more > r.limit-r.used {
			return &QuotaError{root, r.more > r.limit}
		}
	}
	return nil
}

// usageOf is what a mailbox counts for.
func usageOf(r *engine.Mailbox) Usage {
	if r.NoSelect {
		return Usage{}
	}
	return Usage{r.Bytes, int64(r.Messages), 1}
}

// The notes that limits are kept in: of an account, and of the site for a
// domain.
const (
	quotaNote        = "quota/limit"
	givenNote        = "quota/given"
	domainQuotaNotes = "quota/domain/"
)

// encode writes limits as a note; none is no note.
func (u Usage) encode() []byte {
	if u == (Usage{}) {
		return nil
	}
	b, _ := json.Marshal(u) // numbers only
	return b
}

func decodeUsage(note []byte) (u Usage, err error) {
	if err := json.Unmarshal(note, &u); err != nil {
		return u, fmt.Errorf("limits of a quota: %w: %w", engine.ErrDamaged, err)
	}
	return u, nil
}

// domainOf is the domain of an account, "" if it has none.
func domainOf(account string) string {
	return account[strings.LastIndexByte(account, '@')+1:]
}

// pool is what the accounts of a domain use together. It is counted once, when
// the domain is known to have a limit, and from then on by every commit.
type pool struct {
	domain string

	mu      sync.Mutex
	limit   Usage
	used    Usage
	counted map[string]bool // accounts that used holds
	whole   atomic.Bool     // it holds all
}

// pools are those of the domains that have a limit.
type pools struct {
	counting sync.Mutex // held to count a domain's accounts

	mu  sync.Mutex
	all map[string]*pool // nil until they were read
}

// charge takes what a commit adds from the quotas of its accounts, under their
// locks, or refuses it: keep counts it, give takes it back when the commit does
// not come to be.
func (c *commit) charge() (keep, give func(), err error) {
	var more []Usage // of each account
	var pools []*pool
	var together []Usage // of each pool: what moves within a domain adds nothing
	for _, a := range c.accounts {
		var u Usage
		for _, e := range c.edits {
			if e.m.account == a {
				u.add(e.growth())
			}
		}
		more = append(more, u)
		if err := a.used.allow(a.name, a.limits(), u); err != nil && !c.exempt {
			return nil, nil, err
		}
		p := a.pool.Load()
		if p == nil || u == (Usage{}) {
			continue
		}
		i := slices.Index(pools, p)
		if i < 0 {
			i, pools, together = len(pools), append(pools, p), append(together, Usage{})
		}
		together[i].add(u)
	}
	charged := 0
	give = func() {
		for i, p := range pools[:charged] {
			p.add(together[i].negative())
		}
	}
	for i, p := range pools {
		if err := p.charge(together[i], c.exempt); err != nil {
			give()
			return nil, nil, err
		}
		charged++
	}
	keep = func() {
		for i, a := range c.accounts {
			a.used.add(more[i])
		}
	}
	return keep, give, nil
}

// growth is what an edit adds to what the mailbox counts for.
func (e *edit) growth() Usage {
	var u Usage
	if !e.next.gone {
		u = usageOf(&e.next.rec)
	}
	if !e.made {
		u.add(usageOf(&e.m.head.rec).negative())
	}
	return u
}

func (p *pool) charge(more Usage, exempt bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole.Load() && !exempt {
		if err := p.used.allow(p.domain, p.limit, more); err != nil {
			return err
		}
	}
	p.used.add(more)
	return nil
}

func (p *pool) add(more Usage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used.add(more)
}

// limits are those that the directory has for the account, where it has none
// the account's own, and where there are none the site's.
func (a *Account) limits() Usage { return a.given.or(a.limit).or(a.store.o.Quota) }
