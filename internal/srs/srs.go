// Package srs rewrites the senders of forwarded mail by the Sender Rewriting
// Scheme: ann@a.test becomes SRS0=hash=day=a.test=ann@forwarder, so that the
// next host sees a sender that the forwarder may use, and what comes back can
// be sent on to ann. An address that was rewritten elsewhere becomes SRS1, which
// leads back to the first forwarder alone.
//
// The hash keeps others from having mail relayed, the day from doing so later.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"plic/internal/mail"
)

// Errors of Reverse.
var (
	ErrForged  = errors.New("the hash of the rewritten address is wrong")
	ErrExpired = errors.New("the rewritten address is too old")
)

// Options are what a Rewriter works with.
type Options struct {
	Domain  mail.Domain // of rewritten addresses; it must be ours
	Secrets [][]byte    // the first signs, each is believed
	MaxAge  time.Duration
	Now     func() time.Time
}

// Rewriter rewrites senders and reads what it rewrote.
type Rewriter struct{ o Options }

// New makes a Rewriter; nil without a secret.
func New(o Options) *Rewriter {
	if len(o.Secrets) == 0 {
		return nil
	}
	if o.MaxAge == 0 {
		o.MaxAge = 21 * day
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Rewriter{o}
}

const (
	day      = 24 * time.Hour
	hashSize = 6 // characters of 5 bits
	days     = 1 << 10
)

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Forward gives the sender to forward mail of a with. False leaves it: it is
// nobody's, ours already, or there is no room for it in a local part (RFC 5321
// section 4.5.3.1.1).
func (r *Rewriter) Forward(a mail.Address) (mail.Address, bool) {
	if a.IsNull() || a.Domain.IsZero() || a.Domain == r.o.Domain {
		return a, false
	}
	local := ""
	switch kind, rest := kindOf(a.Local); kind {
	case "SRS0":
		tail := a.Domain.String() + "=" + rest
		local = "SRS1=" + r.hash(0, tail) + "=" + tail
	case "SRS1":
		_, tail, ok := strings.Cut(rest[1:], "=") // without the hash of the last forwarder
		if !ok {
			return a, false
		}
		local = "SRS1=" + r.hash(0, tail) + "=" + tail
	default:
		tail := r.stamp() + "=" + a.Domain.String() + "=" + a.Local
		local = "SRS0=" + r.hash(0, tail) + "=" + tail
	}
	to := mail.Address{Local: local, Domain: r.o.Domain}
	if back, err := mail.ParseAddress(to.String()); err != nil || back != to {
		return a, false
	}
	return to, true
}

// kindOf cuts "SRS0" off; what is left begins with a separator.
func kindOf(local string) (kind, rest string) {
	if len(local) < 6 || !strings.ContainsRune("=+-", rune(local[4])) {
		return "", ""
	}
	switch kind = strings.ToUpper(local[:4]); kind {
	case "SRS0", "SRS1":
		return kind, local[4:]
	}
	return "", ""
}

// Rewritten says that an address is, or pretends to be, one of this Rewriter.
func (r *Rewriter) Rewritten(a mail.Address) bool {
	kind, _ := kindOf(a.Local)
	return kind != "" && a.Domain == r.o.Domain
}

// Reverse gives the address behind a rewritten one.
func (r *Rewriter) Reverse(a mail.Address) (mail.Address, error) {
	kind, rest := kindOf(a.Local)
	if kind == "" || a.Domain != r.o.Domain {
		return mail.Address{}, ErrForged
	}
	hash, tail, ok := strings.Cut(rest[1:], "=")
	if !ok || !r.signed(hash, tail) {
		return mail.Address{}, ErrForged
	}
	host, local := "", ""
	if kind == "SRS1" {
		host, local, ok = strings.Cut(tail, "=")
		local = "SRS0" + local
	} else {
		stamp, after, _ := strings.Cut(tail, "=")
		if !r.recent(stamp) {
			return mail.Address{}, ErrExpired
		}
		host, local, ok = strings.Cut(after, "=")
	}
	domain, err := mail.ParseDomain(host)
	if !ok || local == "" || err != nil {
		return mail.Address{}, ErrForged
	}
	return mail.Address{Local: local, Domain: domain}, nil
}

// hash signs a text with the secret of a number. Case does not count: hosts on
// the way may change it.
func (r *Rewriter) hash(secret int, text string) string {
	mac := hmac.New(sha256.New, r.o.Secrets[secret])
	mac.Write([]byte(strings.ToLower(text)))
	return alphabet.EncodeToString(mac.Sum(nil))[:hashSize]
}

func (r *Rewriter) signed(hash, text string) bool {
	good := false
	for i := range r.o.Secrets {
		good = hmac.Equal([]byte(strings.ToLower(hash)), []byte(r.hash(i, text))) || good
	}
	return good
}

// today is the number of the day, of 1024.
func (r *Rewriter) today() int { return int(r.o.Now().Unix()/int64(day/time.Second)) % days }

func (r *Rewriter) stamp() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	n := r.today()
	return string(letters[n>>5]) + string(letters[n&31])
}

// recent says that a stamp is not older than MaxAge, nor from after tomorrow.
func (r *Rewriter) recent(stamp string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	stamp = strings.ToLower(stamp)
	if len(stamp) != 2 {
		return false
	}
	high, low := strings.IndexByte(letters, stamp[0]), strings.IndexByte(letters, stamp[1])
	if high < 0 || low < 0 {
		return false
	}
	age := (r.today() - (high<<5 | low) + days + 1) % days // one day ahead is 0
	return age <= int(r.o.MaxAge/day)+1
}
