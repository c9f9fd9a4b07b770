package foreign

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"plic/test/trial"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// program is the plic that was built for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(trial.Main(m, "../..", func(built string) { program = built }))
}

var (
	ann = trial.Account{Name: "ann@plic.test", Password: `ann's "secret"\`}
	bob = trial.Account{Name: "bob@plic.test", Password: "pÄßwörd €"}
)

// believe trusts the certificate of the server, and no other.
func believe(t *testing.T, s *trial.Server) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(s.CA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("%s holds no certificate", s.CA())
	}
	return &tls.Config{RootCAs: pool, ServerName: trial.Host, NextProtos: []string{"imap"}}
}

// events is what a server tells unasked.
type events struct {
	exists  chan uint32
	expunge chan uint32
	flags   chan []imap.Flag
}

func listen() *events {
	return &events{make(chan uint32, 100), make(chan uint32, 100), make(chan []imap.Flag, 100)}
}

func (e *events) options(t *testing.T, s *trial.Server) *imapclient.Options {
	return &imapclient.Options{
		TLSConfig: believe(t, s),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Expunge: func(n uint32) { e.expunge <- n },
			Mailbox: func(d *imapclient.UnilateralDataMailbox) {
				if d.NumMessages != nil {
					e.exists <- *d.NumMessages
				}
			},
			Fetch: func(m *imapclient.FetchMessageData) {
				if b, err := m.Collect(); err == nil {
					e.flags <- b.Flags
				}
			},
		},
	}
}

// wait gives the next event, which must come soon.
func wait[T any](t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing was told")
		panic("unreachable")
	}
}

// dial opens a session that is not logged in.
func dial(t *testing.T, s *trial.Server, e *events) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialTLS(s.At(trial.IMAPS), e.options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func login(t *testing.T, s *trial.Server, who trial.Account, e *events) *imapclient.Client {
	t.Helper()
	c := dial(t, s, e)
	ok(t, c.Login(who.Name, who.Password).Wait())
	return c
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must gives the value of a command that must succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
