package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/notebook/notebooktest"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// world is what Policies meet: a DNS, a web server with every name that the
// test gives it, a clock.
type world struct {
	dns    *dnstest.Server
	notes  *notebooktest.Notes
	ca     *pki.Authority
	now    time.Time
	web    *httptest.Server
	serves func(http.ResponseWriter, *http.Request)
	asked  int
	sent   []string
}

func newWorld(t *testing.T, records ...string) *world {
	t.Helper()
	w := &world{dns: dnstest.Offline(t, records...), notes: &notebooktest.Notes{All: map[string][]byte{}}, now: time.Now()}
	var err error
	if w.ca, err = pki.Open(vfs.NewMemory(), "ca", w.now); err != nil {
		t.Fatal(err)
	}
	return w
}

// https starts the web server with a certificate for the names.
func (w *world) https(t *testing.T, serves func(http.ResponseWriter, *http.Request), names ...string) {
	t.Helper()
	w.serves = serves
	w.web = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked++
		w.serves(rw, r)
	}))
	w.web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.web.TLS = &tls.Config{Certificates: []tls.Certificate{w.certificate(t, names...)}}
	w.web.StartTLS()
	t.Cleanup(w.web.Close)
}

func (w *world) certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	c, err := w.ca.Issue(names, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

func (w *world) policies(edit func(*Options)) *Policies {
	o := Options{
		Resolver: dns.New(dns.Options{Dial: w.dns.Dial, TrustAD: true, CacheBytes: -1, Rounds: 1}), TrustAD: true,
		Notes: w.notes, Hostname: "client.test", Roots: w.ca.Pool(), Now: func() time.Time { return w.now },
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.web.Listener.Addr().String())
		},
		Reports: Reports{
			From: mail.MustAddress("tls@client.test"), Organization: "Client", Contact: "postmaster@client.test",
			Send: func(_ context.Context, _, to mail.Address, message []byte) error {
				w.sent = append(w.sent, "to "+to.String()+"\n"+string(message))
				return nil
			},
		},
	}
	if edit != nil {
		edit(&o)
	}
	return New(o)
}

// state is a session in which a host showed a certificate.
func state(c tls.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}}
}
