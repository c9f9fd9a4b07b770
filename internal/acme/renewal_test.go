package acme

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"

	"plic/internal/pki"
	"plic/internal/vfs"
)

const day = 24 * time.Hour

// The example of RFC 9773 section 4.1, and what has no name.
func TestCertID(t *testing.T) {
	t.Parallel()
	key := []byte{0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4}
	for _, c := range []struct {
		key    []byte
		serial int64
		want   string
	}{
		{key, 0x87654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"}, {key, 0x1234, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.EjQ"},
		{nil, 1, ""}, {key, 0, ""}, {key, -1, ""},
	} {
		if got := CertID(&x509.Certificate{AuthorityKeyId: c.key, SerialNumber: big.NewInt(c.serial)}); got != c.want {
			t.Errorf("%x of %x is %q, want %q", c.serial, c.key, got, c.want)
		}
	}
}

// suggest has the authority answer for a certificate with a text.
func (a *authority) suggest(t *testing.T, m *Manager, answer string) {
	t.Helper()
	text, err := json.Marshal(map[string]string{
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Certificate[0]})), "ariResponse": answer,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.web.Post("https://"+a.manage+"/set-renewal-info/", "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
}

func between(start, end time.Time, page string) string {
	text, _ := json.Marshal(map[string]any{"suggestedWindow": map[string]time.Time{"start": start, "end": end}, "explanationURL": page})
	return string(text)
}

// notes keeps what the log tells.
type notes struct {
	slog.Handler
	mu   sync.Mutex
	text []string
}

func (h *notes) Enabled(context.Context, slog.Level) bool { return true }
func (h *notes) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += "; " + a.String(); return true })
	h.text = append(h.text, line)
	return nil
}

// count says how many lines tell of something, and forgets all.
func (h *notes) count(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.text {
		if strings.Contains(line, what) {
			n++
		}
	}
	h.text = nil
	return n
}

// A real authority says when to renew certificates of six days, and is believed
// as long as what it says makes sense; one that it revoked is renewed at once.
func TestRenewalInformation(t *testing.T) {
	t.Parallel()
	a := start(t, 6*day)
	at := time.Now()
	fs, log := vfs.NewMemory(), &notes{Handler: slog.DiscardHandler}
	m := a.manager(t, fs, DNS, func() time.Time { return at }, "mx.example.test")
	m.o.Log, m.o.Random = slog.New(log), func() float64 { return 0.25 }
	renew := func() {
		t.Helper()
		if err := m.Obtain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask := func() Renewal {
		m.ask(t.Context())
		return m.Renewal()
	}
	about := func(what string, got, want time.Time) {
		t.Helper()
		if got.Sub(want).Abs() > time.Minute {
			t.Errorf("%s: renewed at %v, want %v", what, got, want)
		}
	}
	later := func(d time.Duration) { at = at.Add(d) }

	renew()
	leaf := m.Certificate().Leaf
	half := leaf.NotAfter.Add(-3 * day)
	if r := m.Renewal(); !strings.Contains(r.Why, "half") {
		t.Errorf("the own rule: %+v", r)
	}
	about("the own rule", m.Renewal().At, half)
	about("what the authority says: two days around two thirds", ask().At, leaf.NotBefore.Add(4*day-12*time.Hour))
	if log.count("when the certificate will be renewed") != 1 {
		t.Error("when it is renewed is not told")
	}

	a.suggest(t, m, between(at.Add(time.Hour), at.Add(5*time.Hour), "https://ca.test/why"))
	about("asked before the time", ask().At, leaf.NotBefore.Add(4*day-12*time.Hour))
	later(7 * time.Hour)
	if r := ask(); r.Page != "https://ca.test/why" || !m.Due() || log.count("https://ca.test/why") != 1 {
		t.Errorf("a window in the past: %+v", r)
	}
	for _, nonsense := range []string{"garbage", "{}", "[]", between(at.Add(day), at.Add(day), ""), between(at.Add(2*day), at.Add(day), "")} {
		later(7 * time.Hour)
		a.suggest(t, m, nonsense)
		if r := ask(); r.At.After(at) || m.told.err == nil {
			t.Errorf("%s: %+v, %v", nonsense, r, m.told.err)
		}
	}
	a.suggest(t, m, between(leaf.NotAfter, leaf.NotAfter.Add(50*day), "javascript:x"))
	later(7 * time.Hour)
	if r := ask(); r.Page != "" || m.told.err != nil {
		t.Errorf("%+v, %v", r, m.told.err)
	}
	about("a window beyond the end", m.Renewal().At, leaf.NotAfter.Add(-6*day/10))
	a.suggest(t, m, "garbage")
	later(7 * time.Hour)
	about("nonsense after a late window", ask().At, half)

	// It is revoked: renewed at once, and the order says in place of which.
	at = time.Now().Add(7 * time.Hour)
	m.told = advice{}
	a.suggest(t, m, "")
	old := m.Certificate()
	c, err := m.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RevokeCert(t.Context(), nil, old.Certificate[0], acme.CRLReasonSuperseded); err != nil {
		t.Fatal(err)
	}
	if ask(); !m.Due() {
		t.Error("a certificate that was revoked is not renewed")
	}
	log.count("")
	renew()
	if log.count("which certificate it replaces") != 0 {
		t.Error("the authority did not take what the order replaces")
	}

	// An authority that wants each new one renewed does not get orders without end.
	for _, want := range []time.Duration{time.Hour + time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 12 * time.Hour} {
		a.suggest(t, m, between(leaf.NotBefore.Add(-2*day), leaf.NotBefore.Add(-day), ""))
		ask()
		about("the rest of a new one", m.Renewal().At, at.Add(want))
		if m.Due() {
			t.Fatal("due just now")
		}
		renew()
	}

	// The one that was replaced already cannot be so again: that costs nothing.
	m.cert = old
	log.count("")
	renew()
	if log.count("alreadyReplaced") != 1 || m.Certificate() == old {
		t.Error("a second replacement was taken")
	}
}

// signed makes a certificate as an authority would.
func signed(t *testing.T, fs vfs.FS, life time.Duration) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(0x1234), NotBefore: time.Now(), NotAfter: time.Now().Add(life), DNSNames: []string{"a.test"}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, SubjectKeyId: []byte{1, 2, 3}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Save(fs, "tls", CertFile, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
}

// broken is an authority that gives no certificates, and says of renewals what a
// test wants. It counts hours from its start.
type broken struct {
	answer       func(hour float64) (code int, wait, text string)
	since        time.Time
	asked, tried []float64
}

func (b *broken) RoundTrip(r *http.Request) (*http.Response, error) {
	hour := time.Since(b.since).Hours()
	answer := func(code int, text string) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{"Replay-Nonce": {"x"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
	}
	switch {
	case r.URL.Path == "/dir":
		return answer(200, `{"newNonce":"http://ca.test/nonce","newAccount":"http://ca.test/account","newOrder":"http://ca.test/order","renewalInfo":"http://ca.test/info"}`)
	case r.URL.Path == "/nonce":
		return answer(200, "")
	case r.URL.Path == "/account":
		b.tried = append(b.tried, hour)
		return answer(403, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no"}`)
	case r.URL.Path != "/info/AQID.EjQ":
		return answer(404, "what is "+r.URL.Path)
	}
	b.asked = append(b.asked, hour)
	code, wait, text := b.answer(hour)
	if code == 0 {
		return nil, errors.New("nobody there")
	}
	a, err := answer(code, text)
	if wait != "" {
		a.Header.Set("Retry-After", wait)
	}
	return a, err
}

// near says whether the first of the hours are as wanted, within a minute.
func near(got, want []float64) bool {
	if len(got) < len(want) {
		return false
	}
	for i := range want {
		if got[i] < want[i]-0.02 || got[i] > want[i]+0.02 {
			return false
		}
	}
	return true
}

// When Run asks and when it renews, whatever the authority says and does not say.
func TestAdvice(t *testing.T) {
	t.Parallel()
	always := func(code int, wait, text string) func(float64) (int, string, string) {
		return func(float64) (int, string, string) { return code, wait, text }
	}
	first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble begins
	hours := func(from, to float64) string {
		at := func(h float64) time.Time { return first.Add(time.Duration(h * float64(time.Hour))) }
		return between(at(from), at(to), "")
	}
	for _, c := range []struct {
		what         string
		life         time.Duration
		answer       func(hour float64) (code int, wait, text string)
		asked, tried []float64
	}{
		{"no such thing", 90 * day, always(404, "", "{}"), []float64{0, 6, 12, 18}, []float64{1440, 1441, 1443, 1447, 1455, 1471, 1495, 1519}},
		{"no such thing, six days", 6 * day, always(404, "", "{}"), []float64{0, 6, 12}, []float64{72, 73, 75, 79, 87, 99, 111, 123}},
		{"no such thing, a day", day, always(404, "", "{}"), []float64{0, 4, 8}, []float64{12, 12.5, 13.5, 15.5, 17.5}},
		{"trouble", 6 * day, always(503, "", ""), []float64{0, 1. / 60, 3. / 60, 7. / 60, 15. / 60, 31. / 60, 63. / 60, 127. / 60}, []float64{72, 73}},
		{"trouble that says how long", 6 * day, always(503, "7200", ""), []float64{0, 2, 4}, []float64{72, 73}},
		{"nobody", 6 * day, always(0, "", ""), []float64{0, 1. / 60, 3. / 60, 7. / 60}, []float64{72, 73}},
		{"garbage", 6 * day, always(200, "60", "<html>"), []float64{0, 6, 12}, []float64{72, 73}},
		{"a window that ends before it begins", 6 * day, always(200, "", hours(50, 40)), []float64{0, 6}, []float64{72, 73}},
		{"early", 6 * day, always(200, "21600", hours(10, 20)), []float64{0, 6, 12}, []float64{15, 16, 18}},
		{"late", 6 * day, always(200, "21600", hours(80, 100)), []float64{0, 6, 12}, []float64{90, 91}},
		{"far too late", 6 * day, always(200, "21600", hours(1000, 1e6)), []float64{0, 6, 12}, []float64{144 * 0.9}},
		{"long ago", 6 * day, always(200, "21600", hours(-1e6, -1e5)), []float64{0}, []float64{0, 1, 3, 7}},
		{"often", 6 * day, always(200, "0", hours(2, 4)), []float64{0, 1. / 60, 2. / 60}, []float64{3}},
		{"for ever", 6 * day, always(200, "99999999999999999999999", hours(80, 100)), []float64{0, 24, 48}, []float64{90}},
		{"for ever, a day", day, always(200, "99999999", hours(8, 12)), []float64{0, 4, 8}, []float64{10}},
		{"without a time", 6 * day, always(200, "", hours(80, 100)), []float64{0, 6, 12}, []float64{90}},
		{"by the calendar", 6 * day, always(200, first.Add(3*time.Hour).Format(http.TimeFormat), hours(80, 100)), []float64{0, 3, 9}, []float64{90}},
		{"an unreadable time", 6 * day, always(200, "-5", hours(80, 100)), []float64{0, 6, 12}, []float64{90}},
		{"late, and then nothing", 6 * day, func(hour float64) (int, string, string) {
			if hour < 75 {
				return 200, "21600", hours(80, 100)
			}
			return 404, "", ""
		}, []float64{0, 6}, []float64{78, 79}},
		{"early, and then nothing", 6 * day, func(hour float64) (int, string, string) {
			if hour < 5 {
				return 200, "21600", hours(10, 20)
			}
			return 404, "", ""
		}, []float64{0, 6}, []float64{15, 16}},
		{"revoked", 90 * day, func(hour float64) (int, string, string) {
			if hour < 100 {
				return 200, "21600", hours(1400, 1500)
			}
			return 200, "21600", hours(90, 91)
		}, []float64{0, 6}, []float64{102, 103}},
	} {
		synctest.Test(t, func(t *testing.T) {
			if !time.Now().Equal(first) {
				t.Fatal("another first moment")
			}
			fs, b := vfs.NewMemory(), &broken{answer: c.answer, since: time.Now()}
			signed(t, fs, c.life)
			m, err := Open(Options{FS: fs, Dir: "tls", Directory: "http://ca.test/dir", Names: func() []string { return []string{"a.test"} }, Random: func() float64 { return 0.5 }})
			if err != nil {
				t.Fatal(err)
			}
			m.web.Transport = b
			ctx, stop := context.WithTimeout(t.Context(), c.life)
			defer stop()
			if err := m.Run(ctx, func() { t.Error("a certificate out of nothing") }); err != nil {
				t.Error(err)
			}
			if !near(b.asked, c.asked) || !near(b.tried, c.tried) {
				t.Errorf("%s: asked %.2f, want %.2f\ntried %.2f, want %.2f", c.what, b.asked[:min(len(b.asked), 10)], c.asked, b.tried, c.tried)
			}
			if most := int(c.life/(4*time.Hour)) + 24; !strings.HasPrefix(c.what, "often") && len(b.asked) > most {
				t.Errorf("%s: asked %d times", c.what, len(b.asked))
			}
		})
	}
}

// A certificate that was got just now is left alone for a while, but not for
// years because the clock was wrong when it was got.
func TestRest(t *testing.T) {
	t.Parallel()
	fs, at := vfs.NewMemory(), time.Now()
	signed(t, fs, 6*day)
	m, err := Open(Options{FS: fs, Dir: "tls", Names: func() []string { return nil }, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	leaf := m.Certificate().Leaf
	at = leaf.NotAfter.Add(-2 * day)
	m.settle(nil, leaf)
	if m.Due() || !m.Renewal().At.Equal(at.Add(time.Hour)) {
		t.Errorf("just got: %+v", m.Renewal())
	}
	at = at.Add(1000 * day)
	m.settle(nil, leaf)
	at = at.Add(-1000 * day)
	if !m.Due() {
		t.Errorf("the clock was wrong: %+v", m.Renewal())
	}
}

// What an authority may send does not harm us.
func FuzzAdvice(f *testing.F) {
	f.Add(200, "60", between(time.Unix(0, 0), time.Unix(100, 0), "https://ca.test/"))
	f.Add(200, "Fri, 31 Dec 9999 23:59:59 GMT", `{"suggestedWindow":{"start":"0001-01-02T00:00:00Z","end":"9999-12-31T23:59:59Z"}}`)
	f.Add(503, "99999999999999999999", "")
	f.Fuzz(func(t *testing.T, code int, wait, text string) {
		if code == 0 || code/100 == 1 || code/100 == 3 {
			return
		}
		fs := vfs.NewMemory()
		signed(t, fs, 6*day)
		now := time.Now()
		m, err := Open(Options{FS: fs, Dir: "tls", Directory: "http://ca.test/dir", Names: func() []string { return nil }, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		m.web.Transport = &broken{since: now, answer: func(float64) (int, string, string) { return code, wait, text }}
		m.ask(t.Context())
		if r, leaf := m.Renewal(), m.Certificate().Leaf; r.At.After(leaf.NotAfter.Add(-6*day/10)) || strings.ContainsAny(r.Page, "\x1b\n") {
			t.Errorf("renewed at %v, %q", r.At, r.Page)
		}
		if next := m.told.next.Sub(now); next < askMin || next > askMax {
			t.Errorf("asked again in %v", next)
		}
	})
}
