package signer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/arc"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// memory is notes that outlive a Signer.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	broken error
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok && m.broken == nil {
		return v, nil
	}
	if m.broken != nil {
		return nil, m.broken
	}
	return nil, engine.ErrNotFound
}

func (m *memory) Update(_ context.Context, key string, change func([]byte) ([]byte, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := change(m.values[key])
	if err == nil {
		m.values[key] = next
	}
	return err
}

type site struct {
	*Signer
	t     testing.TB
	notes *memory
	zone  *dnstest.Server
	now   time.Time
}

var here = mail.MustDomain("here.test")

func newSite(t testing.TB) *site {
	s := &site{t: t, notes: &memory{values: map[string][]byte{}}, zone: dnstest.New(t), now: time.Now()}
	s.restart()
	return s
}

func (s *site) restart() {
	s.Signer = New(Options{Notes: s.notes, Now: func() time.Time { return s.now },
		Ours: func(_ context.Context, d mail.Domain) bool { return d == here }})
}

// publish puts the records of all keys into the DNS.
func (s *site) publish() []Key {
	s.t.Helper()
	keys, err := s.Keys(s.t.Context(), here)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range keys {
		s.zone.Remove(k.Name("here.test"))
		if err := s.zone.Add(k.Name("here.test") + ` 60 IN TXT "` + k.Record[:30] + `" "` + k.Record[30:] + `"`); err != nil {
			s.t.Fatal(err)
		}
	}
	return keys
}

func (s *site) sign(text string) (string, error) {
	s.t.Helper()
	msg, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		s.t.Fatal(err)
	}
	fields, err := s.Sign(s.t.Context(), msg.Root.Header, mail.Bytes([]byte(text)))
	return string(fields), err
}

// verify gives what the signatures of a message come to.
func (s *site) verify(text string) string {
	s.t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	v := dkim.Verifier{Resolver: dns.New(dns.Options{Servers: []string{s.zone.Addr()}}), Now: func() time.Time { return s.now }}
	found, err := v.Verify(s.t.Context(), m)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, r := range found {
		all = append(all, string(r.Algorithm)+" "+string(r.Status)+" "+r.Domain)
	}
	return strings.Join(all, ", ")
}

const letter = "From: Ann <ann@here.test>\r\nSubject: hello\r\n\r\nHello!\r\n"

const both = "rsa-sha256 pass here.test, ed25519-sha256 pass here.test"

// TestSign signs what is of ours, by both keys, and nothing else.
func TestSign(t *testing.T) {
	s := newSite(t)
	for author, want := range map[string]string{
		"ann@here.test": both, "ANN@Here.Test": both, "mailer-daemon@mx.here.test": both, "eve@there.test": "", "eve@nothere.test": "", "eve@test": "",
		"ann@here.test, eve@there.test": "",
	} {
		text := strings.Replace(letter, "Ann <ann@here.test>", author, 1)
		fields, err := s.sign(text)
		if err != nil {
			t.Fatal(err)
		}
		s.publish()
		if got := s.verify(fields + text); got != want {
			t.Errorf("%s: %q, want %q", author, got, want)
		}
		if want != "" && s.verify(fields+text+"more\r\n") == want {
			t.Errorf("%s: a changed text verifies", author)
		}
	}
	if fields, err := s.sign("\r\nno header\r\n"); fields != "" || err != nil {
		t.Errorf("no author: %q %v", fields, err)
	}
	if fields, err := s.sign("X: " + strings.Repeat("x", dkim.MaxHeader) + "\r\n" + letter); fields != "" || err != nil {
		t.Errorf("too long a header: %v", err)
	}
	s.restart()
	s.notes.broken = errors.New("the disk is gone")
	if _, err := s.sign(letter); !errors.Is(err, s.notes.broken) {
		t.Errorf("keys that cannot be read: %v", err)
	}
}

// TestAdded sees that no field that counts can be added to what we have signed,
// and that a signature ends.
func TestAdded(t *testing.T) {
	s := newSite(t)
	fields, err := s.sign(letter)
	if err != nil {
		t.Fatal(err)
	}
	s.publish()
	for _, name := range []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Content-Type", "MIME-Version", "Content-Transfer-Encoding"} {
		if got := s.verify(name + ": x\r\n" + fields + letter); strings.Contains(got, "pass") {
			t.Errorf("with one more %s: %s", name, got)
		}
	}
	if got := s.verify("X-Other: x\r\n" + fields + letter); got != both {
		t.Errorf("with a field that does not count: %s", got)
	}
	s.now = s.now.Add(lifetime + time.Hour)
	if got := s.verify(fields + letter); strings.Contains(got, "pass") {
		t.Errorf("after its time: %s", got)
	}
}

// TestRotate follows keys through their life, with restarts in between.
func TestRotate(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	first := s.publish()
	before, err := s.sign(letter)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Rotate(ctx, here); err == nil {
		t.Error("rotated to nothing")
	}
	next, err := s.Prepare(ctx, here)
	if err != nil || len(next) != 2 || next[0].State != Next {
		t.Fatalf("%+v %v", next, err)
	}
	s.restart()
	if again, err := s.Prepare(ctx, here); err != nil || len(again) != 2 || again[0].Record != next[0].Record {
		t.Errorf("prepared twice: %+v %v", again, err)
	}
	if keys := s.publish(); len(keys) != 4 || keys[0].Selector != first[0].Selector || keys[0].State != Current || keys[2].Selector == first[0].Selector {
		t.Errorf("%+v", keys)
	}
	if err := s.Rotate(ctx, here); err != nil {
		t.Fatal(err)
	}
	s.restart()
	after, err := s.sign(letter)
	if err != nil || !strings.Contains(after, "s="+next[0].Selector+";") {
		t.Errorf("%s %v", after, err)
	}
	for name, fields := range map[string]string{"before": before, "after": after} {
		if got := s.verify(fields + letter); got != both {
			t.Errorf("signed %s: %q", name, got)
		}
	}
	if note := string(s.notes.values["dkim/here.test"]); strings.Count(note, "PRIVATE KEY") != 4 { // two keys, each with begin and end
		t.Errorf("old private keys are kept: %d", strings.Count(note, "PRIVATE KEY"))
	}
	s.now = s.now.Add(lifetime)
	if keys, err := s.Keys(ctx, here); err != nil || len(keys) != 2 {
		t.Errorf("after their time: %+v %v", keys, err)
	}
	if _, err := s.Keys(ctx, mail.MustDomain("there.test")); err == nil {
		t.Error("keys of a domain of others")
	}
}

// TestImport takes a key of others in place of one of its kind.
func TestImport(t *testing.T) {
	s := newSite(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := s.Import(t.Context(), here, "mail", text); err != nil {
		t.Fatal(err)
	}
	s.restart()
	s.publish()
	fields, err := s.sign(letter)
	if err != nil || !strings.Contains(fields, "s=mail;") || s.verify(fields+letter) != both {
		t.Errorf("%v: %s\n%s", err, s.verify(fields+letter), fields)
	}
	for selector, key := range map[string]string{"mail": text, "": text, "a b": text, "x": "rubbish"} {
		if err := s.Import(t.Context(), here, selector, key); err == nil {
			t.Errorf("imported %q", selector)
		}
	}
}

// TestOneRing makes the keys of a domain once, however many messages want them.
func TestOneRing(t *testing.T) {
	s := newSite(t)
	var wg sync.WaitGroup
	all := make([]string, 8)
	for i := range all {
		wg.Go(func() { all[i], _ = s.sign(letter) })
	}
	wg.Wait()
	s.publish()
	for _, fields := range all {
		if got := s.verify(fields + letter); got != both {
			t.Errorf("%q", got)
		}
	}
}

// TestSeal extends a chain by a set in the name of the first domain of ours.
func TestSeal(t *testing.T) {
	s := newSite(t)
	there := strings.Replace(letter, "here.test", "there.test", 1)
	by := []mail.Domain{mail.MustDomain("there.test"), mail.MustDomain("mx.here.test")}
	none := arc.Chain{Status: arc.None}
	set, err := s.Seal(t.Context(), by, mail.Bytes([]byte(there)), none, "mx.here.test; dmarc=pass header.from=there.test")
	if err != nil || len(set) == 0 {
		t.Fatal(err)
	}
	s.publish()
	text := string(set) + there
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	v := arc.Verifier{Resolver: dns.New(dns.Options{Servers: []string{s.zone.Addr()}}), Now: time.Now}
	chain, err := v.Verify(t.Context(), m)
	if err != nil || chain.Status != arc.Pass || chain.Sets[0].Domain != "here.test" {
		t.Errorf("%+v %v", chain, err)
	}
	if set, err := s.Seal(t.Context(), by[:1], mail.Bytes([]byte(there)), none, "x; none"); set != nil || err != nil {
		t.Errorf("sealed for others: %s %v", set, err)
	}
	if set, err := s.Seal(t.Context(), by, mail.Bytes([]byte(there)), arc.Chain{Status: arc.Fail, Temporary: true}, "x; none"); set != nil || err != nil {
		t.Errorf("sealed a chain that could not be checked: %s %v", set, err)
	}
}
