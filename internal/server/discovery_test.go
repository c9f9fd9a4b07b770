package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"plic/internal/autoconf"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
)

// What is told is what the world can reach.
func TestDiscoveryTellsOfListeners(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Listen = config.Listen{
		IMAPS: []string{"127.0.0.1:1993", ":993"}, IMAP: []string{"127.0.0.1:143", "[::1]:143"}, POP3: []string{"192.0.2.1:1110"},
		Submissions: []string{"[2001:db8::1]:465"}, HTTPS: []string{":8443"}, PlainHTTP: []string{"192.0.2.1:80"},
	}
	s := new(site)
	o := s.discovery(c)
	want := []autoconf.Service{{Protocol: autoconf.IMAP, Port: 993, TLS: true}, {Protocol: autoconf.POP3, Port: 1110}, {Protocol: autoconf.Submission, Port: 465, TLS: true}}
	if o.Host != c.Hostname.String() || o.Web || !o.PlainWeb || !slices.Equal(o.Services, want) {
		t.Errorf("got %+v", o)
	}
	if c.Listen.HTTPS[0] = "0.0.0.0:443"; !s.discovery(c).Web {
		t.Error("HTTPS is not told of")
	}
}

// Mail programs are answered by HTTPS for our domains and no others, by names
// that are in the certificate, and the records follow the domains.
func TestDiscoveryIsServed(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Listen.HTTPS, c.Listen.PlainHTTP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	c.Listen.IMAPS = []string{":0"} // what is of this host alone is not told
	c.Autoconfig.Names = true
	s, at, _ := start(t, c)
	o := s.Operations()
	if err := o.Directory.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(c); err != nil { // the certificate has the new names
		t.Fatal(err)
	}
	get := browser(t, s, at["https"], "application/xml; charset=utf-8")
	const path = "/mail/config-v1.1.xml"
	if code, text := get("autoconfig.here.test", path); code != 200 || !strings.Contains(text, `<emailProvider id="here.test">`) {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := get("autodiscover.here.test", path+"?emailaddress=a%40elsewhere.test"); code != 404 {
		t.Errorf("of another domain: %d", code)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at["plain_http"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "autoconfig.here.test"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("by HTTP: %s", answer.Status)
	}
	var names []string
	for r, err := range o.Discovery.Records(t.Context(), "here.test") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.Name)
	}
	if !slices.Contains(names, "_imaps._tcp.here.test") {
		t.Errorf("records %v", names)
	}
	for _, err := range o.Discovery.Records(t.Context(), "elsewhere.test") {
		if !errors.Is(err, control.ErrNotFound) {
			t.Errorf("records of another domain: %v", err)
		}
	}
}

// Reports are asked for to where this site reads them, and a place in another domain
// says that it takes them.
func TestReportRecords(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Senders.ReceiveReports, c.TLSRPT.Receive = mail.MustAddress("dmarc@here.test"), mail.MustAddress("tls@here.test")
	for domain, want := range map[string][]string{
		"here.test":  {"_dmarc.here.test v=DMARC1; p=reject; rua=mailto:dmarc@here.test", "_smtp._tls.here.test v=TLSRPTv1; rua=mailto:tls@here.test"},
		"other.test": {"_dmarc.other.test v=DMARC1; p=reject; rua=mailto:dmarc@here.test", "_smtp._tls.other.test v=TLSRPTv1; rua=mailto:tls@here.test", "other.test._report._dmarc.here.test v=DMARC1"},
	} {
		var got []string
		for _, r := range mailRecords(c, mail.MustDomain(domain)) {
			if strings.HasPrefix(r.Name, "_") || strings.Contains(r.Name, "_report") {
				got = append(got, r.Name+" "+r.Value)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", domain, got)
		}
	}
}
