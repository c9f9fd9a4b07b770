package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "blitiri.com.ar/go/spf" // its module ships the suite
	"gopkg.in/yaml.v3"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/spf"
)

// spfScenario is one document of the published suite for RFC 7208.
type spfScenario struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, Mailfrom, Explanation string
		Result                            yaml.Node
	}
	Zonedata map[string][]yaml.Node
}

// spfSuite finds the suite: beside the project, or in a module that ships it.
// It is not ours to copy.
func spfSuite(t *testing.T) []byte {
	t.Helper()
	if text, err := os.ReadFile("../../../shared/vectors/rfc7208-tests.yml"); err == nil {
		return text
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	if err != nil {
		t.Fatalf("the suite of RFC 7208 is neither beside the project nor in the module blitiri.com.ar/go/spf: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "rfc7208-tests.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSPFSuite runs every case of the suite against a DNS server on loopback.
func TestSPFSuite(t *testing.T) {
	in := yaml.NewDecoder(bytes.NewReader(spfSuite(t)))
	cases := 0
	for {
		var s spfScenario
		err := in.Decode(&s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.Description, func(t *testing.T) { cases += runScenario(t, &s) })
	}
	if cases != 203 {
		t.Errorf("ran %d cases, the suite has 203", cases)
	}
}

func runScenario(t *testing.T, s *spfScenario) int {
	server := dnstest.New(t)
	for name, records := range s.Zonedata {
		addZone(t, server, name, records)
	}
	checker := &spf.Checker{
		Resolver: dns.New(dns.Options{Servers: []string{server.Addr()}}),
		Now:      time.Now,
	}
	for name, c := range s.Tests {
		t.Run(name, func(t *testing.T) {
			v := checker.Check(t.Context(), spf.Question{IP: netip.MustParseAddr(c.Host), Helo: c.Helo, From: c.Mailfrom})
			if want := results(t, &c.Result); !strings.Contains(want, " "+v.Result.String()+" ") {
				t.Errorf("result %v (%s), want%s", v.Result, v.Reason, want)
			}
			want := c.Explanation
			if want == "DEFAULT" {
				want = ""
			}
			if v.Result == spf.Fail && c.Explanation != "" && v.Explanation != want {
				t.Errorf("explanation %q, want %q", v.Explanation, want)
			}
		})
	}
	return len(s.Tests)
}

// results are the results that a case allows, each between spaces.
func results(t *testing.T, n *yaml.Node) string {
	t.Helper()
	if n.Kind == yaml.ScalarNode {
		return " " + n.Value + " "
	}
	var all []string
	if err := n.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return " " + strings.Join(all, " ") + " "
}

// addZone adds the records of a name. What is written as SPF stands for TXT,
// unless TXT records are given too.
func addZone(t *testing.T, server *dnstest.Server, name string, records []yaml.Node) {
	t.Helper()
	hasTXT := false
	for i := range records {
		var m map[string]yaml.Node
		if records[i].Decode(&m) == nil {
			_, ok := m["TXT"]
			hasTXT = hasTXT || ok
		}
	}
	for i := range records {
		if records[i].Value == "TIMEOUT" {
			server.Fail(name, dnstest.Rest)
			continue
		}
		var m map[string]yaml.Node
		if err := records[i].Decode(&m); err != nil {
			t.Fatal(err)
		}
		for kind, value := range m {
			if kind == "SPF" && hasTXT || value.Value == "NONE" {
				continue
			}
			if kind == "TIMEOUT" { // as the module's copy has it
				server.Fail(name, dnstest.Rest)
				continue
			}
			data, kind := recordData(t, name, kind, &value)
			if err := server.Add(fmt.Sprintf("%s 60 IN %s %s", zoneName(name), kind, data)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func recordData(t *testing.T, name, kind string, value *yaml.Node) (data, as string) {
	t.Helper()
	switch kind {
	case "SPF", "TXT":
		texts := []string{value.Value}
		if value.Kind == yaml.SequenceNode {
			texts = nil
			if err := value.Decode(&texts); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range texts {
			data += ` "` + escapeText(text) + `"`
		}
		return data, "TXT"
	case "MX":
		var mx []string
		if err := value.Decode(&mx); err != nil {
			t.Fatal(err)
		}
		return mx[0] + " " + zoneName(mx[1]), kind
	case "CNAMELOOP":
		return zoneName(name), "CNAME"
	case "PTR", "CNAME":
		return zoneName(value.Value), kind
	}
	return value.Value, kind
}

func escapeText(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\%03d`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// zoneName writes a name as a zone file has it, absolute.
func zoneName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if strings.IndexByte(`"();@$\`, c) >= 0 {
			b.WriteByte('\\')
		} else if c == ' ' {
			b.WriteString(`\032`)
			continue
		}
		b.WriteByte(c)
	}
	return strings.TrimSuffix(b.String(), ".") + "."
}
