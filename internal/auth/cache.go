package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"
)

// maxCache bounds the accounts remembered.
const maxCache = 50_000

// mac stands for a secret without showing it.
type mac [sha256.Size]byte

// cache remembers for a while which password was right, so that a mail reader
// that logs in each minute does not cost a slow hash each time. It keeps no
// password but an HMAC of account, stored hash and password under a key that
// lives in this process only: a changed password is forgotten at once, and a
// copy of the directory is worth no more than before. Who can read this
// process's memory could guess quickly at the passwords in it; but who can do
// that sees passwords come in anyway. Entries end on time and are not extended.
type cache struct {
	key  []byte
	keep time.Duration
	now  func() time.Time

	mu      sync.Mutex
	entries map[string]cacheEntry // by account
}

type cacheEntry struct {
	mac  mac
	ends time.Time
}

func newCache(keep time.Duration, now func() time.Time) *cache {
	return &cache{key: []byte(rand.Text()), keep: keep, now: now, entries: map[string]cacheEntry{}}
}

func (c *cache) mac(account, hash, password string) (m mac) {
	h := hmac.New(sha256.New, c.key)
	for _, s := range []string{account, hash} { // neither holds NUL that could shift the borders
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write([]byte(password))
	h.Sum(m[:0])
	return m
}

func (c *cache) has(account, hash, password string) bool {
	m := c.mac(account, hash, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[account]
	left := e.ends.Sub(c.now())
	if !ok || left <= 0 || left > c.keep { // also if the clock was set back
		delete(c.entries, account)
		return false
	}
	return subtle.ConstantTimeCompare(e.mac[:], m[:]) == 1
}

func (c *cache) add(account, hash, password string) {
	if c.keep <= 0 {
		return
	}
	e := cacheEntry{c.mac(account, hash, password), c.now().Add(c.keep)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxCache {
		for name := range c.entries { // any one
			delete(c.entries, name)
			break
		}
	}
	c.entries[account] = e
}
