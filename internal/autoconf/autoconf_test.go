package autoconf

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

func options() Options {
	return Options{
		Host: "mail.plic.test", Web: true,
		Services: []Service{
			{Submission, 587, false}, {POP3, 995, true}, {IMAP, 143, false}, {Submission, 465, true}, {IMAP, 993, true},
		},
		Local: func(_ context.Context, d mail.Domain) bool {
			return slices.Contains([]string{"example.org", "autoconfig.example.net"}, d.String())
		},
	}
}

// site serves by HTTPS and asks as a program does: any host, one address.
type site struct {
	t *testing.T
	s *httptest.Server
}

func newSite(t *testing.T, o Options) *site {
	s := httptest.NewTLSServer(New(o))
	t.Cleanup(s.Close)
	return &site{t, s}
}

func (s *site) ask(method, host, path, body string) (int, http.Header, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	c := s.s.Client()
	c.Timeout = 20 * time.Second
	answer, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// wellFormed reads XML to its end.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

func TestThunderbird(t *testing.T) {
	t.Parallel()
	s := newSite(t, options())
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.org">
    <domain>example.org</domain>
    <displayName>example.org</displayName>
    <displayShortName>example.org</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.plic.test</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="imap">
      <hostname>mail.plic.test</hostname>
      <port>143</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>mail.plic.test</hostname>
      <port>995</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.plic.test</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>mail.plic.test</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
  </emailProvider>
</clientConfig>
`
	for _, x := range [][2]string{
		{"autoconfig.example.org", "/mail/config-v1.1.xml?emailaddress=nobody%40example.org"},
		{"autoconfig.example.org:443", "/mail/config-v1.1.xml"},
		{"autoconfig.example.org.", "/mail/config-v1.1.xml"},
		{"Example.org", "/.well-known/autoconfig/mail/config-v1.1.xml"},
		{"mail.plic.test", "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a%40EXAMPLE.org"},
	} {
		code, header, text := s.ask("GET", x[0], x[1], "")
		if code != 200 || text != want || header.Get("Content-Type") != "application/xml; charset=utf-8" {
			t.Errorf("%s%s: %d %v\n%s", x[0], x[1], code, header, text)
		}
	}
	for _, x := range [][2]string{
		{"autoconfig.example.com", "/mail/config-v1.1.xml"}, {"mail.plic.test", "/mail/config-v1.1.xml"},
		{"autoconfig.example.org", "/mail/config-v1.1.xml?emailaddress=a%40example.com"},
		{"autoconfig.example.org", "/mail/config-v1.1.xml?emailaddress=%00"}, {"autoconfig.example.org", "/"},
	} {
		if code, _, text := s.ask("GET", x[0], x[1], ""); code != 404 {
			t.Errorf("%s%s: %d %s", x[0], x[1], code, text)
		}
	}
	if code, _, text := s.ask("GET", "autoconfig.example.net", "/mail/config-v1.1.xml", ""); code != 200 || !strings.Contains(text, `id="autoconfig.example.net"`) {
		t.Errorf("a domain that begins so itself: %d %s", code, text)
	}
}

func outlookAsks(address, schema string) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
<Request><EMailAddress>%s</EMailAddress><AcceptableResponseSchema>%s</AcceptableResponseSchema></Request></Autodiscover>`, address, schema)
}

func TestOutlook(t *testing.T) {
	t.Parallel()
	s := newSite(t, options())
	code, header, text := s.ask("POST", "autodiscover.example.org", "/Autodiscover/Autodiscover.xml", outlookAsks("ann@example.org", schemaMail))
	wellFormed(t, text)
	if code != 200 || header.Get("Content-Type") != "text/xml; charset=utf-8" {
		t.Errorf("%d %v", code, header)
	}
	for _, want := range []string{
		`<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">`,
		`<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">`,
		"<DisplayName>ann@example.org</DisplayName>", "<AccountType>email</AccountType>", "<Action>settings</Action>",
		"<LoginName>ann@example.org</LoginName>", "<Type>SMTP</Type>", "<Port>465</Port>", "<Encryption>SSL</Encryption>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if i, j := strings.Index(text, "<Port>993</Port>"), strings.Index(text, "<Port>143</Port>"); i < 0 || j < i {
		t.Errorf("IMAP with TLS does not come first:\n%s", text)
	}
	_, _, other := s.ask("POST", "autodiscover.example.org", outlookPath, outlookAsks("nobody@example.org", schemaMail))
	if strings.ReplaceAll(other, "nobody@", "ann@") != text {
		t.Error("it can be told who exists")
	}
	for body, want := range map[string]string{
		outlookAsks("ann@example.com", schemaMail): "<ErrorCode>500</ErrorCode>",
		outlookAsks("", schemaMail):                "<ErrorCode>500</ErrorCode>",
		outlookAsks("ann@example.org", "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"): "<ErrorCode>601</ErrorCode>",
		"": "<ErrorCode>600</ErrorCode>", "<Autodiscover>": "<ErrorCode>600</ErrorCode>", "<x/>": "<ErrorCode>600</ErrorCode>",
		"<Autodiscover><Request><EMailAddress>" + strings.Repeat("a", 20_000): "<ErrorCode>600</ErrorCode>",
	} {
		_, _, text := s.ask("POST", "autodiscover.example.org", outlookPath, body)
		wellFormed(t, text)
		if !strings.Contains(text, want) {
			t.Errorf("%.100s: %s", body, text)
		}
	}
}

func TestOutlookJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t, options())
	for path, want := range map[string]struct {
		code       int
		key, value string
	}{
		"/autodiscover/autodiscover.json?Email=ann%40example.org&Protocol=AutodiscoverV1":       {200, "Url", "https://mail.plic.test/autodiscover/autodiscover.xml"},
		"/Autodiscover/Autodiscover.json/v1.0/ann%40example.org?Protocol=autodiscoverv1":        {200, "Url", "https://mail.plic.test/autodiscover/autodiscover.xml"},
		"/autodiscover/autodiscover.json?Email=ann%40example.org&Protocol=ActiveSync":           {400, "ErrorCode", "InvalidProtocol"},
		"/autodiscover/autodiscover.json?Email=ann%40example.com&Protocol=AutodiscoverV1":       {404, "ErrorCode", "UserNotFound"},
		"/autodiscover/autodiscover.json/v1.0/nobody%40example.org?Protocol=AutodiscoverV1&x=y": {200, "Protocol", "AutodiscoverV1"},
	} {
		code, header, text := s.ask("GET", "autodiscover.example.org", path, "")
		fields := map[string]string{}
		if err := json.Unmarshal([]byte(text), &fields); err != nil || code != want.code || fields[want.key] != want.value || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s", path, code, err, text)
		}
	}
}

// By HTTP Thunderbird is answered, and Outlook and Apple's programs are shown the way, if
// there is one.
func TestPlain(t *testing.T) {
	t.Parallel()
	for _, web := range []bool{true, false} {
		o := options()
		o.Web = web
		there := map[string]string{
			"/Autodiscover/Autodiscover.xml":                 "https://mail.plic.test/autodiscover/autodiscover.xml",
			"/email.mobileconfig?email=ann%40example.org%0D": "https://mail.plic.test/email.mobileconfig?email=ann%40example.org%0D",
		}
		ask := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			New(o).Plain().ServeHTTP(w, httptest.NewRequest("GET", "http://autoconfig.example.org"+path, nil))
			return w
		}
		if w := ask(thunderbirdPath); w.Code != 200 || !strings.Contains(w.Body.String(), "<port>993</port>") {
			t.Errorf("Thunderbird: %d %s", w.Code, w.Body)
		}
		for path, want := range there {
			w := ask(path)
			if web && (w.Code != 302 || w.Header().Get("Location") != want) || !web && w.Code != 404 {
				t.Errorf("%s, HTTPS %v: %d %v", path, web, w.Code, w.Header())
			}
		}
		if w := ask("/autodiscover/autodiscover.json?Email=ann%40example.org&Protocol=AutodiscoverV1"); w.Code != 404 {
			t.Errorf("of JSON: %d", w.Code)
		}
	}
}

// Python's plistlib judges the profile.
func TestApple(t *testing.T) {
	t.Parallel()
	s := newSite(t, options())
	code, header, text := s.ask("GET", "mail.plic.test", `/email.mobileconfig?email=%22a%26b%22%40example.org`, "")
	if code != 200 || !strings.HasPrefix(header.Get("Content-Type"), "application/x-apple-aspen-config") {
		t.Fatalf("%d %v %s", code, header, text)
	}
	wellFormed(t, text)
	_, _, again := s.ask("GET", "mail.plic.test", `/email.mobileconfig?email=%22a%26b%22%40example.org`, "")
	if again != text {
		t.Error("the profile changes")
	}
	for _, address := range []string{"", "ann%40example.com", "ann"} {
		if code, _, _ := s.ask("GET", "mail.plic.test", "/email.mobileconfig?email="+address, ""); code != 404 {
			t.Errorf("%s: %d", address, code)
		}
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	const script = `
import plistlib, sys, uuid
p = plistlib.loads(sys.stdin.buffer.read(), fmt=plistlib.FMT_XML)
assert p['PayloadType'] == 'Configuration' and p['PayloadVersion'] == 1, p
uuid.UUID(p['PayloadUUID'])
m, = p['PayloadContent']
assert m['PayloadType'] == 'com.apple.mail.managed' and m['PayloadUUID'] != p['PayloadUUID'], m
assert m['EmailAccountType'] == 'EmailTypeIMAP' and m['EmailAddress'] == 'a&b@example.org', m
assert (m['IncomingMailServerHostName'], m['IncomingMailServerPortNumber'], m['IncomingMailServerUseSSL']) == ('mail.plic.test', 993, True), m
assert (m['OutgoingMailServerHostName'], m['OutgoingMailServerPortNumber'], m['OutgoingMailServerUseSSL']) == ('mail.plic.test', 465, True), m
assert m['IncomingMailServerUsername'] == m['OutgoingMailServerUsername'] == m['EmailAddress'], m
`
	cmd := exec.Command("python3", "-c", script)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	o := options()
	var got []string
	for _, r := range o.Records(mail.MustDomain("example.org")) {
		got = append(got, r.Name+" "+r.Type+" "+r.Value)
	}
	want := []string{
		"_submissions._tcp.example.org SRV 0 1 465 mail.plic.test.", "_submission._tcp.example.org SRV 10 1 587 mail.plic.test.",
		"_imaps._tcp.example.org SRV 0 1 993 mail.plic.test.", "_imap._tcp.example.org SRV 10 1 143 mail.plic.test.",
		"_pop3s._tcp.example.org SRV 20 1 995 mail.plic.test.", "_pop3._tcp.example.org SRV 0 0 0 .",
		"_autodiscover._tcp.example.org SRV 0 1 443 mail.plic.test.", "autodiscover.example.org CNAME mail.plic.test.",
		"autoconfig.example.org CNAME mail.plic.test.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	o.Web, o.Services = false, nil
	if all := o.Records(mail.MustDomain("example.org")); len(all) != 6 || all[0].Value != "0 0 0 ." {
		t.Errorf("of a host that offers nothing: %v", all)
	}
	o.PlainWeb = true
	if all := o.Records(mail.MustDomain("example.org")); len(all) != 7 || all[6].Name != "autoconfig.example.org" || all[6].Why != "Thunderbird" {
		t.Errorf("of a host without HTTPS: %v", all)
	}
	// Without a way to read and one to send there is nothing to tell.
	s := newSite(t, o)
	for _, path := range []string{"/email.mobileconfig?email=ann%40example.org", "/mail/config-v1.1.xml?emailaddress=ann%40example.org"} {
		if code, _, text := s.ask("GET", "mail.plic.test", path, ""); code != 404 {
			t.Errorf("%s without services: %d %s", path, code, text)
		}
	}
	if _, _, text := s.ask("POST", "mail.plic.test", outlookPath, outlookAsks("ann@example.org", schemaMail)); !strings.Contains(text, "<ErrorCode>601</ErrorCode>") {
		t.Errorf("Outlook without services: %s", text)
	}
}
