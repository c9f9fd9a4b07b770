package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
)

// start serves operations in dir and gives a client of them.
func start(t *testing.T, dir string, o control.Operations) *control.Client {
	t.Helper()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, o, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(dir, control.SocketName)); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func all[T any](t *testing.T, list iter.Seq2[T, error]) []T {
	t.Helper()
	var got []T
	for v, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	return got
}

func items(n int) []mail.Item {
	var items []mail.Item
	for i := range n {
		id := mail.NewID(time.UnixMilli(int64(1000 * i)))
		items = append(items, mail.Item{
			ID: id, Size: int64(i), Due: time.Unix(int64(i), 0).UTC(), Expires: time.Unix(9, 0).UTC(),
			Envelope: mail.Envelope{ID: id, From: mail.MustAddress("a@example.org"), Received: time.Unix(1, 0).UTC()},
			Hop:      mail.Hop{Kind: mail.HopRemote, Host: "example.net"},
			To:       []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress("ü@example.net")}, Last: mail.Reply(450, "4.2.1", "busy")}},
		})
	}
	return items
}

func TestDirectoryOverTheSocket(t *testing.T) {
	t.Parallel()
	ctx, site := t.Context(), &controltest.Site{}
	d := start(t, t.TempDir(), site.Operations()).Operations().Directory
	for _, err := range []error{
		d.AddDomain(ctx, "example.org"), d.AddDomain(ctx, "example.net"),
		d.AddAccount(ctx, "ann@example.org", "secret"), d.AddAccount(ctx, "bob@example.org", "x"),
		d.SetPassword(ctx, "bob@example.org", "better"),
		d.AddAlias(ctx, control.Alias{Address: "@example.org", Targets: []string{"ann@example.org"}}),
		d.RemoveDomain(ctx, "example.net"), d.RemoveAccount(ctx, "ann@example.org", true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, d.Domains(ctx)); !reflect.DeepEqual(got, []control.Domain{{Name: "example.org"}}) {
		t.Errorf("domains %v", got)
	}
	if got := all(t, d.Accounts(ctx)); !reflect.DeepEqual(got, []control.Account{{Name: "bob@example.org"}}) {
		t.Errorf("accounts %v", got)
	}
	if got := site.Password("bob@example.org"); got != "better" {
		t.Errorf("password %q", got)
	}
	if got := site.Purged(); !reflect.DeepEqual(got, []string{"ann@example.org"}) {
		t.Errorf("purged %v", got)
	}
	if got := all(t, d.Aliases(ctx)); !reflect.DeepEqual(got, []control.Alias{{Address: "@example.org", Targets: []string{"ann@example.org"}}}) {
		t.Errorf("aliases %v", got)
	}
	if err := d.RemoveAlias(ctx, control.Alias{Address: "@example.org"}); err != nil {
		t.Error(err)
	}
	if got := all(t, d.Aliases(ctx)); len(got) != 0 {
		t.Errorf("aliases %v", got)
	}
}

func TestErrorsKeepTheirWords(t *testing.T) {
	t.Parallel()
	ctx, site := t.Context(), &controltest.Site{}
	o := start(t, t.TempDir(), site.Operations()).Operations()
	err := o.Directory.RemoveDomain(ctx, "nowhere.example")
	if err == nil || err.Error() != "domain nowhere.example: not found" || !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(o.Directory.AddDomain(ctx, "a.example"), o.Directory.AddAccount(ctx, "x@a.example", "")); err != nil {
		t.Fatal(err)
	}
	err = o.Directory.RemoveDomain(ctx, "a.example")
	if err == nil || !strings.Contains(err.Error(), "x@a.example: remove it first") || errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := o.Holds.RemoveRule(ctx, mail.ID{1}, false); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := o.Suppress.Unsuppress(ctx, "x@a.example"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := o.Queue.Message(ctx, mail.ID{1}); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestQueueOverTheSocket(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	site := &controltest.Site{Items: items(2000)}
	id := site.Items[7].ID
	message := strings.Repeat("Subject: x\r\n\r\nlong\r\n", 20000) // many fragments
	site.Messages = map[mail.ID]string{id: message}
	q := start(t, t.TempDir(), site.Operations()).Operations().Queue
	got := all(t, q.List(ctx, queue.Filter{}))
	for i := range got {
		if !reflect.DeepEqual(got[i], queue.Listed{Item: site.Items[i], State: "waiting"}) {
			t.Fatalf("an item came through as %+v", got[i])
		}
	}
	if len(got) != len(site.Items) {
		t.Errorf("%d items came through", len(got))
	}
	for range q.List(ctx, queue.Filter{}) {
		break // leaving early must not harm what follows
	}
	if got := all(t, q.List(ctx, queue.Filter{IDs: []mail.ID{id}})); len(got) != 1 || !reflect.DeepEqual(got[0].Item, site.Items[7]) {
		t.Errorf("got %+v", got)
	}
	if got := all(t, q.Shapes(ctx, queue.Filter{}, queue.ByDomain)); len(got) != 1 || got[0].Name != "domain" || got[0].Recipients != 2000 || got[0].Ages[3] != 2000 {
		t.Errorf("shapes %+v", got)
	}
	r, err := q.Message(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || string(text) != message {
		t.Errorf("%d octets of %d, %v", len(text), len(message), err)
	}
	r.Close()
	if r, err = q.Message(ctx, id); err != nil {
		t.Fatal(err)
	}
	r.Close() // unread
	if r, err = q.Message(ctx, site.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || len(text) != 0 {
		t.Errorf("an empty message is %q, %v", text, err)
	}
	r.Close()
	change := control.Change{Action: control.Reroute, Filter: queue.Filter{IDs: []mail.ID{id}, Older: time.Hour}, Why: "because", Hop: mail.Hop{Host: "relay.test"}}
	if r, err := q.Change(ctx, change); err != nil || r != (queue.Result{Found: 1, Changed: 1}) {
		t.Errorf("changed %+v, %v", r, err)
	}
	if got, want := site.Called(), []string{"reroute 1 of 1 because relay.test"}; !reflect.DeepEqual(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
}

func TestEmbargoOverTheSocket(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	site := &controltest.Site{}
	o := start(t, t.TempDir(), site.Operations()).Operations()
	rule, err := o.Holds.AddRule(ctx, queue.Filter{To: "@a.example", Account: "b"}, "because")
	if got := all(t, o.Holds.Rules(ctx)); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], rule) || !reflect.DeepEqual(rule.Filter, queue.Filter{To: "@a.example", Account: "b"}) {
		t.Errorf("rules %+v, %v", got, err)
	}
	if err := o.Holds.RemoveRule(ctx, rule.ID, true); err != nil || !reflect.DeepEqual(site.Called(), []string{"unhold " + rule.ID.String() + " true"}) {
		t.Errorf("called %v, %v", site.Called(), err)
	}
	if err := errors.Join(o.Suppress.Suppress(ctx, "a@b.example", time.Hour, "because"), o.Suppress.Suppress(ctx, "c@b.example", 0, "")); err != nil {
		t.Fatal(err)
	}
	got := all(t, o.Suppress.Suppressed(ctx))
	if len(got) != 2 || got[0].Why != "because" || got[0].Until.IsZero() || !got[1].Until.IsZero() {
		t.Errorf("suppressed %+v", got)
	}
	if err := o.Suppress.Unsuppress(ctx, "a@b.example"); err != nil || len(all(t, o.Suppress.Suppressed(ctx))) != 1 {
		t.Error(err)
	}
}

func TestJournalOverTheSocket(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{Events: []journal.Event{
		{Time: time.Unix(1, 0).UTC(), Kind: journal.Accept, Message: mail.ID{1}, From: "a@example.org", To: []string{"b@example.org"}},
		{Time: time.Unix(2, 0).UTC(), Kind: journal.Deliver, Message: mail.ID{1}, Mailbox: "INBOX", UID: 7, Took: time.Second},
	}}
	j := start(t, t.TempDir(), site.Operations()).Operations().Journal
	q := journal.Query{Message: mail.ID{1}, From: "a@example.org", Since: time.Unix(1, 0).UTC(), Limit: 5}
	if got := all(t, j.Find(t.Context(), q)); !reflect.DeepEqual(got, site.Events) {
		t.Errorf("got %+v", got)
	}
	if got := site.Asked(); !reflect.DeepEqual(got, q) {
		t.Errorf("asked %+v, want %+v", got, q)
	}
}

// failing gives some values and then an error, or panics.
type failing struct {
	control.Journal
	n   int
	err error
}

func (f failing) Find(context.Context, journal.Query) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for range f.n {
			yield(journal.Event{Kind: "x"}, nil)
		}
		if f.err == nil {
			panic(http.ErrAbortHandler)
		}
		yield(journal.Event{}, f.err)
	}
}

func TestTLSOverTheSocket(t *testing.T) {
	t.Parallel()
	ctx, site := t.Context(), &controltest.Site{Policies: []control.TLSPolicy{{Domain: "a.test", Host: "mx.a.test", Policy: "may: x", Needs: "nothing", Evidence: []string{"one", "two"}}}}
	o := start(t, t.TempDir(), site.Operations()).Operations().TLS
	if got := all(t, o.Policy(ctx, "a.test")); !reflect.DeepEqual(got, site.Policies) {
		t.Errorf("policies %+v", got)
	}
	for _, err := range o.Policy(ctx, "b.test") {
		if !errors.Is(err, control.ErrNotFound) {
			t.Errorf("a domain that is not there: %v", err)
		}
	}
	site.Records = []control.Record{{Name: "_25._tcp.a.test", Type: "TLSA", Value: "3 1 1 ab", Why: "x"}}
	if got := all(t, o.Records(ctx)); !reflect.DeepEqual(got, site.Records) {
		t.Errorf("records %+v", got)
	}
	found := start(t, t.TempDir(), site.Operations()).Operations().Discovery
	if got := all(t, found.Records(ctx, "a.test")); !reflect.DeepEqual(got, site.Records) {
		t.Errorf("records of a domain: %+v", got)
	}
	if got := all(t, found.Records(ctx, "b.test")); len(got) != 0 {
		t.Errorf("records of another: %+v", got)
	}
	site.Shown = control.Certificate{Names: []string{"a.test"}, Until: time.Unix(1e9, 0).UTC(), Why: "x"}
	if got, err := o.Certificate(ctx); err != nil || !reflect.DeepEqual(got, site.Shown) {
		t.Errorf("certificate %+v, %v", got, err)
	}
	if err := o.Rotate(ctx, false); err == nil {
		t.Error("rotated although a record is missing")
	}
	if err := o.Rotate(ctx, true); err != nil || !reflect.DeepEqual(site.Calls, []string{"rotate"}) {
		t.Errorf("%v, %v", site.Calls, err)
	}
	site.Calls = nil
	if err := o.Forget(ctx, "a.test"); err != nil || !reflect.DeepEqual(site.Calls, []string{"forget a.test"}) {
		t.Errorf("%v, %v", site.Calls, err)
	}
}

func TestAListThatBreaksIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		err  error
		want string
	}{{errors.New("disk on fire"), "disk on fire"}, {nil, "cut off"}} {
		j := start(t, t.TempDir(), control.Operations{Journal: failing{n: 300, err: x.err}, Queue: (&controltest.Site{}).Operations().Queue, Directory: &controltest.Site{}}).Operations().Journal
		n, last := 0, error(nil)
		for _, err := range j.Find(t.Context(), journal.Query{}) {
			if last = err; err == nil {
				n++
			}
		}
		if last == nil || !strings.Contains(last.Error(), x.want) || n > 300 {
			t.Errorf("after %d values: %v, want %s", n, last, x.want)
		}
	}
}

func TestNobodyRuns(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(dir string){
		"no directory": func(dir string) { os.Remove(dir) },
		"no socket":    func(string) {},
		"dead socket": func(dir string) {
			l, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		},
	} {
		dir := t.TempDir()
		make(dir)
		if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "dead socket" { // and a new server takes its place
			start(t, dir, (&controltest.Site{}).Operations())
		}
	}
}

func TestSocketIsOurs(t *testing.T) {
	t.Parallel()
	deep := t.TempDir()
	for len(deep) < 150 { // longer than a socket's path may be
		deep = filepath.Join(deep, "a-directory-with-a-long-name")
	}
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), deep} {
		site := &controltest.Site{}
		c := start(t, dir, site.Operations())
		info, err := os.Lstat(filepath.Join(dir, control.SocketName))
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("socket %v, %v", info.Mode(), err)
		}
		if err := c.Operations().Directory.AddDomain(t.Context(), "example.org"); err != nil {
			t.Error(err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	h := control.Handler((&controltest.Site{}).Operations())
	for _, x := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/v1/domain/list", "{}", http.StatusMethodNotAllowed},
		{"POST", "/v1/domain/frob", "{}", http.StatusNotFound},
		{"POST", "/v1/queue/change", "{", http.StatusBadRequest},
		{"POST", "/v1/queue/change", `"nonsense"`, http.StatusBadRequest},
		{"POST", "/v1/domain/add", `{"Name":"` + strings.Repeat("x", 2<<20) + `"}`, http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(x.method, x.path, strings.NewReader(x.body)))
		if w.Code != x.want {
			t.Errorf("%s %s: %d, want %d", x.method, x.path, w.Code, x.want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for _, ok := range []bool{true, false} {
		h := control.Web(control.WebOptions{
			Version: "1.2.3", Started: now.Add(-90 * time.Second), Now: func() time.Time { return now },
			Health: func(context.Context) []control.Check {
				return []control.Check{{Name: "queue", OK: true}, {Name: "store", OK: ok, Detail: "full"}}
			},
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
		var got struct {
			Status, Version, Uptime string
			Checks                  []control.Check
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want, code := "ok", http.StatusOK
		if !ok {
			want, code = "failing", http.StatusServiceUnavailable
		}
		if got.Status != want || w.Code != code || got.Uptime != "1m30s" || got.Version != "1.2.3" || len(got.Checks) != 2 || got.Checks[1].OK != ok {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h := control.Web(control.WebOptions{
		Version: "1.2.3",
		Counts: func() []journal.Count {
			return []journal.Count{
				{Service: "imap", Kind: journal.Panic, N: 2}, {Service: "smtp", Kind: journal.Panic, N: 1},
				{Service: "smtp", Kind: journal.Reject, Class: "5xx", N: 7},
			}
		},
		Metrics: func() []control.Metric {
			return []control.Metric{
				{Name: "plic_queue_items", Help: "Items.", Labels: [][2]string{{"state", `de"ad`}}, Value: 3},
				{Name: "plic_queue_items", Help: "Items.", Labels: [][2]string{{"state", "active"}}, Value: 0.5},
			}
		},
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`plic_info{version="1.2.3"} 1`,
		`plic_events_total{class="5xx",kind="reject",service="smtp"} 7`,
		`# TYPE plic_events_total counter`,
		`plic_panics_total 3`,
		`plic_queue_items{state="de\"ad"} 3`,
		`# TYPE plic_queue_items gauge`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("%s is missing in\n%.3000s", line, w.Body)
		}
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// TestProfiles: Go's tools are told what takes time and memory, and nothing else of
// what they know to ask for.
func TestProfiles(t *testing.T) {
	t.Parallel()
	h := control.Web(control.WebOptions{Version: "1.2.3"})
	gone, leave := context.WithCancel(t.Context())
	leave() // nobody waits for the seconds of a profile
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(gone, "GET", path, nil))
		return w
	}
	for _, path := range []string{"/debug/pprof/profile", "/debug/pprof/heap", "/debug/pprof/goroutine"} {
		if w := get(path); w.Code != http.StatusOK || !bytes.HasPrefix(w.Body.Bytes(), []byte{0x1f, 0x8b}) {
			t.Errorf("%s: %d %.20q", path, w.Code, w.Body)
		}
		if !strings.Contains(get("/").Body.String(), path+"\n") {
			t.Errorf("%s is not listed", path)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/trace"} {
		if w := get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func ExampleClient() {
	dir, _ := os.MkdirTemp("", "plic")
	defer os.RemoveAll(dir)
	l, err := control.Listen(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- control.Serve(ctx, l, (&controltest.Site{}).Operations(), nil) }()
	c, _ := control.Dial(ctx, dir)
	fmt.Println(c.Operations().Directory.AddDomain(ctx, "example.org"))
	for d := range c.Operations().Directory.Domains(ctx) {
		fmt.Println(d.Name)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// <nil>
	// example.org
	// <nil>
}

func TestSpamOverTheSocket(t *testing.T) {
	t.Parallel()
	ctx, site := t.Context(), &controltest.Site{}
	site.Spam.Verdict = control.SpamVerdict{Action: "junk", Score: 7}
	s := start(t, t.TempDir(), site.Operations()).Operations().Spam
	lesson := control.SpamLesson{Account: "ann@example.org", Spam: true, Message: []byte("a\r\n")}
	for i, want := range []bool{true, false} {
		if ok, err := s.Train(ctx, lesson); err != nil || ok != want {
			t.Errorf("lesson %d: %v %v", i, ok, err)
		}
	}
	if got := all(t, s.Learnt(ctx, "ann@example.org")); len(got) != 2 || got[1].Account != "ann@example.org" {
		t.Errorf("%+v", got)
	}
	if v, err := s.Judge(ctx, control.SpamQuestion{IP: "192.0.2.1", Message: []byte("b")}); err != nil || !reflect.DeepEqual(v, site.Spam.Verdict) || site.Spam.Asked.IP != "192.0.2.1" {
		t.Errorf("%+v %v", v, err)
	}
	junk := 4.5
	if err := s.SetLimits(ctx, control.SpamLimits{Name: "", Junk: &junk}); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Limits(ctx, ""); err != nil || l.Junk == nil || *l.Junk != 4.5 {
		t.Errorf("%+v %v", l, err)
	}
	if _, err := s.Limits(ctx, "none.test"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("an unknown domain: %v", err)
	}
	if got := all(t, s.Symbols(ctx)); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if err := s.Forget(ctx, "ann@example.org"); err != nil || len(site.Spam.Forgot) != 1 {
		t.Errorf("%v %v", err, site.Spam.Forgot)
	}
}
