package server

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/pki"
	"plic/internal/vfs"
)

func siteOf(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Hostname, c.DataDir = mail.MustDomain("mail.here.test"), t.TempDir()
	return c
}

func certificatesOf(c *config.Config) (*certificates, error) {
	return newCertificates(c, nil, func(*config.Config) []string { return nil }, slog.New(slog.DiscardHandler))
}

func TestHosts(t *testing.T) {
	t.Parallel()
	c := siteOf(t)
	c.Listen = config.Listen{
		SMTP: []string{"127.0.0.1:25", "[::1]:25", "192.0.2.1:25"}, IMAP: []string{":143", "[0:0::1]:143", "192.0.2.1:143"},
	}
	want := []string{"mail.here.test", "imap.here.test", "mta-sts.here.test", "localhost", "127.0.0.1", "::1", "192.0.2.1"}
	c.ACME.Names = []string{"imap.here.test"}
	k := &certificates{more: func(*config.Config) []string { return []string{"mta-sts.here.test", "mail.here.test"} }}
	if got := k.hosts(c); !slices.Equal(got, want) {
		t.Errorf("the certificate is for %q, want %q", got, want)
	}
}

// A server that runs for months shows a certificate that is good all the time.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	c := siteOf(t)
	synctest.Test(t, func(t *testing.T) {
		k, err := certificatesOf(c)
		if err != nil {
			t.Fatal(err)
		}
		first := k.leaf("")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- k.keep(ctx, func() *config.Config { return c }, slog.New(slog.DiscardHandler))
		}()
		for range 12 {
			time.Sleep(30 * 24 * time.Hour)
			synctest.Wait()
			if left := time.Until(k.leaf("").NotAfter); left < 7*24*time.Hour {
				t.Fatalf("the certificate runs out in %v", left)
			}
		}
		if k.leaf("").Equal(first) {
			t.Error("the certificate was never renewed")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// An expired certificate is better than no mail, but no reason to give up a
// good one.
func TestExpiredCertificate(t *testing.T) {
	t.Parallel()
	c := siteOf(t)
	expired := *c
	past := time.Now().AddDate(-1, 0, 0)
	ca, err := pki.Open(vfs.Disk(), t.TempDir(), past)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue([]string{"mail.here.test"}, past)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	expired.TLS.Cert = filepath.Join(t.TempDir(), "host.pem")
	expired.TLS.Key = expired.TLS.Cert
	text := slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	)
	if err := os.WriteFile(expired.TLS.Cert, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificatesOf(&expired); err != nil {
		t.Errorf("a start with an expired certificate: %v", err)
	}
	k, err := certificatesOf(c)
	if err != nil {
		t.Fatal(err)
	}
	good := k.leaf("")
	if err := k.reload(&expired); err == nil || !k.leaf("").Equal(good) {
		t.Errorf("a reload put an expired certificate in place of a good one: %v", err)
	}
}

// Whence the certificate is and when it is renewed can be asked for.
func TestCertificateIsTold(t *testing.T) {
	t.Parallel()
	c := siteOf(t)
	tell := func(c *config.Config) control.Certificate {
		t.Helper()
		k, err := certificatesOf(c)
		if err != nil {
			t.Fatal(err)
		}
		return k.describe()
	}
	own := tell(c)
	if left := own.Until.Sub(own.Renewal); left != 30*24*time.Hour || !strings.Contains(own.Source, "pem") || !slices.Contains(own.Names, "127.0.0.1") || own.Trouble != "" {
		t.Errorf("our own: %+v", own)
	}
	ordered := *c
	ordered.ACME.Directory = "https://ca.test/dir"
	if got := tell(&ordered); !got.Renewal.IsZero() || got.Why != "there is no certificate of the authority https://ca.test/dir" || got.Serial != own.Serial {
		t.Errorf("before the authority gave one: %+v", got)
	}
	given := *c
	given.TLS.Cert = filepath.Join(c.DataDir, "tls", pki.HostFile)
	given.TLS.Key = given.TLS.Cert
	if got := tell(&given); !got.Renewal.IsZero() || !strings.Contains(got.Why, "whoever") || got.Serial != own.Serial || !strings.Contains(got.Source, given.TLS.Cert) {
		t.Errorf("from a file: %+v", got)
	}
	k, err := certificatesOf(c)
	if err != nil {
		t.Fatal(err)
	}
	if list := k.metrics(); len(list) != 2 || list[0].Value != float64(own.Until.Unix()) || list[1].Value != float64(own.Renewal.Unix()) {
		t.Errorf("metrics %+v", list)
	}
}
