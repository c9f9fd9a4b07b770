package acme

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What times of a certificate depend on is how long it lives, so that one of
// six days is renewed as calmly as one of ninety.
const (
	usualLife = 90 * 24 * time.Hour // of a certificate that there is not yet
	shortLife = 10 * 24 * time.Hour // below it half of the life is left to renew, not a third
)

// How often an authority is asked when to renew, RFC 9773 section 4.3.
const (
	askTimeout = time.Minute
	askMin     = time.Minute
	askMax     = 24 * time.Hour
	askUsual   = 6 * time.Hour // where the authority does not say, or answers nonsense
	mostAnswer = 64 << 10
)

// Renewal is when the certificate will be renewed.
type Renewal struct {
	At   time.Time // in the past: as soon as it can be; zero: there is no certificate
	Why  string
	Page string // where the authority explains why, "" if it does not
}

// advice is what the authority has told of one certificate.
type advice struct {
	id     string // of the certificate
	share  float64
	window window // none yet: zero
	page   string
	err    error // of the last time we asked
	failed int   // times in a row
	next   time.Time
}

// uniform draws where nobody gives other chance.
func uniform() float64 { return rand.Float64() }

// window is when an authority wants a certificate renewed.
type window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// at is the moment in the window that was drawn for us. It stays while the
// window stays, else each answer would draw anew and early ones win.
func (a *advice) at() time.Time {
	return a.window.Start.Add(time.Duration(a.share * float64(a.window.End.Sub(a.window.Start))))
}

// life is how long a certificate is good.
func life(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) }

// CertID names a certificate to its authority, RFC 9773 section 4.1; "" if it
// does not say whose it is.
func CertID(c *x509.Certificate) string {
	if len(c.AuthorityKeyId) == 0 || c.SerialNumber == nil || c.SerialNumber.Sign() <= 0 {
		return ""
	}
	serial := c.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 { // as DER has it
		serial = append([]byte{0}, serial...)
	}
	e := base64.RawURLEncoding
	return e.EncodeToString(c.AuthorityKeyId) + "." + e.EncodeToString(serial)
}

// Renewal says when the certificate will be renewed, and why then.
func (m *Manager) Renewal() Renewal {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cert == nil {
		return Renewal{Why: "there is no certificate"}
	}
	leaf := m.cert.Leaf
	left, share := life(leaf)/3, "a third"
	if life(leaf) < shortLife {
		left, share = life(leaf)/2, "half"
	}
	own := leaf.NotAfter.Add(-left)
	r := Renewal{At: own, Why: share + " of its life is left then"}
	a := &m.told
	switch told := a.at(); {
	case a.id != CertID(leaf):
	case a.window.Start.IsZero() && a.err != nil:
		r.Why += "; the authority does not say when: " + a.err.Error()
	case a.window.Start.IsZero():
	case a.err != nil && told.After(own):
		r.Why += "; the authority had told a later time, and tells nothing now: " + a.err.Error()
	default:
		r = Renewal{At: told, Page: a.page, Why: fmt.Sprintf("the authority asks for it between %s and %s", stamp(a.window.Start), stamp(a.window.End))}
		if last := leaf.NotAfter.Add(-life(leaf) / 10); told.After(last) {
			r.At, r.Why = last, r.Why+"; but a tenth of its life is left then"
		}
	}
	if r.At.Before(m.rest) && m.rest.Sub(m.o.Now()) <= retryMax { // else the clock was wrong then
		r.At, r.Why = m.rest, r.Why+"; but it was got just now"
	}
	return r
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// settle says how long a new certificate is left alone: an authority that asks
// for each to be renewed at once, or a clock that is wrong, must not make us
// order without end. The caller holds mu.
func (m *Manager) settle(old, cert *x509.Certificate) {
	now := m.o.Now()
	if old != nil && now.Sub(old.NotBefore) < life(old)/10 {
		m.young++
	} else {
		m.young = 0
	}
	m.rest = now.Add(patience(life(cert), m.young))
}

// patience is how long to wait after the given number of failures.
func patience(life time.Duration, failed int) time.Duration {
	least := min(max(life/48, time.Minute), retryMin)
	return min(least<<min(failed, 10), max(life/12, time.Minute), retryMax)
}

// patience is that of Run.
func (m *Manager) patience(failed int) time.Duration {
	if cert := m.Certificate(); cert != nil {
		return patience(life(cert.Leaf), failed)
	}
	return patience(usualLife, failed)
}

// pause is how long Run may rest when nothing is due: until it is time to renew,
// or to ask. Clocks are set, so it looks now and then in any case.
func (m *Manager) pause() time.Duration {
	now, wait := m.o.Now(), m.patience(0)
	if at := m.Renewal().At; at.After(now) {
		wait = min(wait, at.Sub(now))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told.next.After(now) {
		wait = min(wait, m.told.next.Sub(now))
	}
	return wait + time.Millisecond // so that the time has come then, and not almost
}

// ask asks the authority when to renew the certificate, if it is time to. That
// it does not answer costs nothing but its advice.
func (m *Manager) ask(ctx context.Context) {
	cert, now := m.Certificate(), m.o.Now()
	if cert == nil || now.After(cert.Leaf.NotAfter) { // section 4.3: no longer asked about
		return
	}
	id := CertID(cert.Leaf)
	m.mu.Lock()
	a := m.told
	m.mu.Unlock()
	if id == "" || a.id == id && now.Before(a.next) && a.next.Sub(now) <= askMax {
		return
	}
	fresh := a.id != id
	if fresh {
		a = advice{id: id, share: m.o.Random()}
	}
	before := m.Renewal()
	within, cancel := context.WithTimeout(ctx, askTimeout)
	wait, err := m.advise(within, &a)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if a.failed++; err == nil {
		a.failed = 0
	}
	first := a.err == nil && err != nil
	a.err = err
	a.next = now.Add(min(max(wait, askMin), askMax, max(life(cert.Leaf)/6, askMin)))
	m.mu.Lock()
	m.told = a
	m.mu.Unlock()
	if first {
		level := slog.LevelWarn
		if errors.Is(err, errNoAdvice) {
			level = slog.LevelInfo
		}
		m.o.Log.Log(ctx, level, "the authority does not say when to renew the certificate", "from", m.o.Directory, "again at", a.next, "error", err)
	}
	if after := m.Renewal(); fresh || !after.At.Equal(before.At) || after.Page != before.Page {
		m.o.Log.Info("when the certificate will be renewed", "at", after.At, "because", after.Why, "explained at", after.Page)
	}
}

// advise gets the advice on a certificate, RFC 9773 section 4.2, and says when to
// ask again.
func (m *Manager) advise(ctx context.Context, a *advice) (time.Duration, error) {
	dir, err := m.directory(ctx)
	switch {
	case err != nil:
		return a.again(0, err), err
	case dir.RenewalInfo == "":
		a.window, a.page = window{}, ""
		return askMax, errNoAdvice
	}
	var answer struct {
		Window window `json:"suggestedWindow"`
		Page   string `json:"explanationURL"`
	}
	header, err := m.get(ctx, strings.TrimSuffix(dir.RenewalInfo, "/")+"/"+a.id, &answer)
	wait := retryAfter(header.Get("Retry-After"), m.o.Now())
	if w := answer.Window; err == nil && (w.Start.IsZero() || !w.End.After(w.Start)) {
		err = fmt.Errorf("%w: a window from %s to %s", errNonsense, stamp(w.Start), stamp(w.End))
	}
	if err != nil {
		return a.again(wait, err), err
	}
	a.window, a.page = answer.Window, ""
	if u, err := url.Parse(answer.Page); err == nil && (u.Scheme == "https" || u.Scheme == "http") && len(answer.Page) < 1000 {
		a.page = u.String()
	}
	if wait == 0 {
		wait = askUsual
	}
	return wait, nil
}

var errNoAdvice = errors.New("it has no renewal information")

// again is when to ask after an error: soon and ever more slowly where it may
// pass, sections 4.3.2 and 4.3.3.
func (a *advice) again(wait time.Duration, err error) time.Duration {
	var status *statusError
	if errors.As(err, &status) && status.code < 500 || errors.Is(err, errNonsense) {
		return max(wait, askUsual)
	}
	return max(wait, min(askMin<<min(a.failed, 10), askUsual))
}

// retryAfter reads the header of that name, seconds or a date; 0 where it says
// nothing of the future.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return max(time.Duration(min(n, uint64(askMax/time.Second)))*time.Second, askMin)
	}
	if t, err := http.ParseTime(text); err == nil && t.After(now) {
		return min(max(t.Sub(now), askMin), askMax)
	}
	return 0
}

// directory is what we need of the authority's, RFC 8555 section 7.1.1, that the
// library does not give.
type directory struct {
	NewNonce    string `json:"newNonce"`
	NewOrder    string `json:"newOrder"`
	RenewalInfo string `json:"renewalInfo"`
}

func (m *Manager) directory(ctx context.Context) (directory, error) {
	var dir directory
	_, err := m.get(ctx, m.o.Directory, &dir)
	return dir, err
}

// statusError is an answer that is none.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string {
	return strings.TrimSpace(strconv.Itoa(e.code) + " " + http.StatusText(e.code) + ": " + e.text)
}

var errNonsense = errors.New("an answer that is none")

// get asks the authority for a value.
func (m *Manager) get(ctx context.Context, url string, into any) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	header, text, err := m.send(r)
	if err == nil {
		if json.Unmarshal(text, into) != nil {
			err = fmt.Errorf("%s: %w", url, errNonsense)
		}
	}
	return header, err
}

// send makes one request and reads its answer.
func (m *Manager) send(r *http.Request) (http.Header, []byte, error) {
	if m.o.Agent != "" {
		r.Header.Set("User-Agent", m.o.Agent)
	}
	answer, err := m.web.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	switch {
	case err != nil:
		return answer.Header, nil, err
	case answer.StatusCode/100 != 2:
		var problem struct{ Type, Detail string } // RFC 8555 section 6.7
		json.Unmarshal(text, &problem)            // what is none says nothing
		return answer.Header, nil, &statusError{answer.StatusCode, strings.TrimSpace(problem.Type + " " + problem.Detail)}
	}
	return answer.Header, text, nil
}
