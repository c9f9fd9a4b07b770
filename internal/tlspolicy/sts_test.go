package tlspolicy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"plic/internal/dns/dnstest"
)

const enforced = "version: STSv1\r\nmode: enforce\r\nmx: *.example.test\r\nmax_age: 604800\r\n"

func stsWorld(t *testing.T, policy string) *world {
	w := newWorld(t, "_mta-sts.example.test 60 IN TXT \"v=STSv1; id=1\"", "mta-sts.example.test 60 IN A 192.0.2.1")
	w.https(t, serve(policy), "mta-sts.example.test")
	return w
}

func (w *world) record(t *testing.T, text string) {
	t.Helper()
	w.dns.Remove("_mta-sts.example.test")
	if text != "" {
		if err := w.dns.Add("_mta-sts.example.test 60 IN TXT \"" + text + "\""); err != nil {
			t.Fatal(err)
		}
	}
}

// The life of a policy, RFC 8461 section 5.1: it is fetched once, outlives the
// process, its record and its web server, changes with its id, and ends in time.
func TestMTASTS(t *testing.T) {
	t.Parallel()
	w := stsWorld(t, enforced)
	decide := func() Decision { return w.policies(nil).Decide(t.Context(), plain, Demand{}) }
	asked := func(what string, n int) {
		t.Helper()
		if w.asked != n {
			t.Errorf("%s: the policy was fetched %d times, not %d", what, w.asked, n)
		}
	}
	d := decide()
	is(t, "first", d, STS, Verified, false)
	if d.Verify != nil || d.Name != "" {
		t.Error("the certificate is not judged by the host's name")
	}
	is(t, "again, by another process", decide(), STS, Verified, false)
	asked("again", 1)
	stranger := plain
	stranger.Host = "mx.attacker.test"
	is(t, "a host that the policy does not name", w.policies(nil).Decide(t.Context(), stranger, Demand{}), STS, Opportunistic, true)

	w.record(t, "")
	is(t, "the record is gone", decide(), STS, Verified, false)
	w.dns.Fail("_mta-sts.example.test", dnstest.ServFail)
	is(t, "the record cannot be had", decide(), STS, Verified, false)
	w.dns.Fail("_mta-sts.example.test", dnstest.None)
	asked("without a record", 1)

	w.record(t, "v=STSv1; id=2")
	w.serves = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusInternalServerError) }
	is(t, "a new policy cannot be had", decide(), STS, Verified, false)
	is(t, "nor at once after", decide(), STS, Verified, false)
	asked("a fetch that failed", 2)
	w.now = w.now.Add(stsRetry + time.Second)
	w.serves = serve(strings.Replace(enforced, "enforce", "testing", 1))
	is(t, "a new policy", decide(), STS, Opportunistic, false)
	asked("a new policy", 3)

	w.record(t, "v=STSv1; id=3")
	w.serves = serve("version: STSv1\nmode: none\nmax_age: 86400\n")
	is(t, "a policy of none", decide(), May, Opportunistic, false)
	w.record(t, "v=STSv1; id=4")
	w.serves = serve(enforced)
	is(t, "enforced again", decide(), STS, Verified, false)
	w.record(t, "")
	w.now = w.now.Add(8 * 24 * time.Hour)
	is(t, "it ran out", decide(), May, Opportunistic, false)
}

// A policy in testing counts what it would have refused, and refuses nothing.
func TestMTASTSTesting(t *testing.T) {
	t.Parallel()
	w := stsWorld(t, strings.Replace(enforced, "enforce", "testing", 1))
	p := w.policies(nil)
	for _, cert := range []string{"mx.example.test", "wrong.test"} {
		d := p.Decide(t.Context(), plain, Demand{})
		s := state(w.certificate(t, cert))
		if err := d.Verify(*s); err != nil {
			t.Errorf("a certificate of %s is refused in testing: %v", cert, err)
		}
		d.Done(Outcome{Offered: true, TLS: s})
	}
	for _, tally := range p.tallies {
		f := tally.Findings[0]
		if len(tally.Findings) != 1 || f.Policy.Type != "sts" || f.Summary.Success != 1 || f.Summary.Failure != 1 || f.Failures[0].Type != "certificate-host-mismatch" {
			t.Errorf("counted as %+v", tally)
		}
	}
}

// How a policy must be served, RFC 8461 section 3.3.
func TestFetchRules(t *testing.T) {
	t.Parallel()
	header := func(kind string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Write([]byte(enforced))
		}
	}
	for _, c := range []struct {
		what   string
		serves func(http.ResponseWriter, *http.Request)
		name   string // of the certificate, if not the right one
		kind   string // of failure, "" for none
	}{
		{what: "as it should", serves: header("text/plain")},
		{what: "with a charset", serves: header("Text/Plain; charset=us-ascii")},
		{what: "as a page", serves: header("text/html"), kind: "sts-policy-invalid"},
		{what: "moved", kind: "sts-policy-fetch-error", serves: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				serve(enforced)(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}},
		{what: "not there", kind: "sts-policy-fetch-error", serves: http.NotFound},
		{what: "too large", kind: "sts-policy-invalid", serves: serve(enforced + strings.Repeat("x: y\r\n", 64<<10))},
		{what: "no policy", kind: "sts-policy-invalid", serves: serve("hello")},
		{what: "cut off", kind: "sts-policy-fetch-error", serves: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(enforced))
		}},
		{what: "by another host", kind: "sts-webpki-invalid", name: "example.test", serves: serve(enforced)},
	} {
		w := newWorld(t, "_mta-sts.example.test 60 IN TXT \"v=STSv1; id=1\"", "mta-sts.example.test 60 IN A 192.0.2.1")
		name := c.name
		if name == "" {
			name = "mta-sts.example.test"
		}
		w.https(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.Host != "mta-sts.example.test" || r.URL.Path != "/.well-known/mta-sts.txt" && r.URL.Path != "/elsewhere" {
				t.Errorf("%s: asked for %s of %s", c.what, r.URL, r.Host)
			}
			c.serves(rw, r)
		}, name)
		p := w.policies(nil)
		_, err := p.fetchPolicy(t.Context(), "example.test")
		if (err == nil) != (c.kind == "") || err != nil && kindOf(err) != c.kind {
			t.Errorf("%s: %v, which is %q, not %q", c.what, err, kindOf(err), c.kind)
		}
		d := p.Decide(t.Context(), plain, Demand{})
		want := STS
		if c.kind != "" {
			want = May
		}
		if d.Kind != want || d.Refuse != nil {
			t.Errorf("%s: %s", c.what, d.Why)
		}
	}
}

// Policies are got anew long before they run out, and forgotten after.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := stsWorld(t, enforced)
	p := w.policies(nil)
	p.Decide(t.Context(), plain, Demand{})
	if err := p.refreshAll(t.Context()); err != nil || w.asked != 1 {
		t.Errorf("a fresh policy was fetched: %d, %v", w.asked, err)
	}
	w.now = w.now.Add(25 * time.Hour)
	w.serves = serve(strings.Replace(enforced, "*.example.test", "new.test", 1))
	if err := p.refreshAll(t.Context()); err != nil || w.asked != 2 {
		t.Errorf("a policy a day old was not fetched: %d, %v", w.asked, err)
	}
	is(t, "the policy got anew", p.Decide(t.Context(), plain, Demand{}), STS, Opportunistic, true)
	w.record(t, "")
	w.now = w.now.Add(30 * 24 * time.Hour)
	if err := p.refreshAll(t.Context()); err != nil || len(w.notes.All) != 0 {
		t.Errorf("kept although it ran out: %v %v", w.notes.All, err)
	}
}
