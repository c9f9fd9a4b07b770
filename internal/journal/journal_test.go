package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"plic/internal/mail"
	"plic/internal/vfs"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func open(t testing.TB, fs vfs.FS, c *clock) *Journal {
	t.Helper()
	j, err := Open(Options{FS: fs, Dir: "journal", Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func find(t testing.TB, j *Journal, q Query) []Event {
	t.Helper()
	var all []Event
	for e, err := range j.Find(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func reasons(events []Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Reason)
	}
	return strings.Join(all, " ")
}

func TestFind(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	j := open(t, fs, c)
	one, two, conn := mail.NewID(noon), mail.NewID(noon), mail.NewID(noon)
	for _, e := range []Event{
		{Kind: Connect, Conn: conn, Service: "smtp", Remote: "192.0.2.1", Reason: "a"},
		{Kind: Accept, Conn: conn, Message: one, MessageID: "<Id.1@Example.org>", From: "Alice@example.org", To: []string{"bob@example.net", "carol@example.com"}, Reason: "b"},
		{Kind: Deliver, Message: one, To: []string{"bob@example.net"}, Account: "bob@example.net", Reason: "c"},
		{Kind: Accept, Message: two, From: "dave@xn--mnchen-3ya.de", To: []string{"grüße@example.net"}, Reason: "d"},
		{Kind: Relayed, Message: two, To: []string{"\"a b\"@example.net"}, Reason: "e"},
	} {
		j.Record(e)
		c.add(time.Hour)
	}
	for _, tc := range []struct {
		name string
		q    Query
		want string
	}{
		{"all", Query{}, "a b c d e"},
		{"message", Query{Message: one}, "b c"},
		{"conn", Query{Conn: conn}, "a b"},
		{"message-id follows the message", Query{MessageID: "Id.1@Example.org"}, "b c"},
		{"message-id in brackets", Query{MessageID: "<Id.1@Example.org>"}, "b c"},
		{"message-id and to", Query{MessageID: "<Id.1@Example.org>", To: "CAROL@EXAMPLE.COM"}, "b"},
		{"message-id of nobody", Query{MessageID: "<no@such>"}, ""},
		{"message-id with odd characters", Query{MessageID: `<no "such>`}, ""},
		{"from in any case", Query{From: "alice@EXAMPLE.org"}, "b"},
		{"from is not part of an address", Query{From: "lice@example.org"}, ""},
		{"to", Query{To: "<bob@example.net>"}, "b c"},
		{"to domain", Query{To: "@Example.NET"}, "b c d e"},
		{"from U-label", Query{From: "@München.de"}, "d"},
		{"to UTF-8", Query{To: "GRÜSSE@example.net"}, ""},
		{"to UTF-8 in case", Query{To: "GRÜßE@example.net"}, "d"},
		{"to quoted", Query{To: `"A B"@example.net`}, "e"},
		{"account", Query{Account: "Bob@example.net"}, "c"},
		{"accounts of a domain", Query{Account: "@example.net"}, "c"},
		{"kind", Query{Kind: Accept}, "b d"},
		{"kind and to", Query{Kind: Accept, To: "carol@example.com"}, "b"},
		{"remote", Query{Remote: "192.0.2.1"}, "a"},
		{"remote is not part of an address", Query{Remote: "192.0.2"}, ""},
		{"since", Query{Since: noon.Add(3 * time.Hour)}, "d e"},
		{"until", Query{Until: noon.Add(time.Hour)}, "a"},
		{"limit takes the newest", Query{Limit: 2}, "d e"},
		{"limit and to", Query{To: "@example.net", Limit: 3}, "c d e"},
		{"limit of more", Query{Limit: 50}, "a b c d e"},
	} {
		if got := reasons(find(t, j, tc.q)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesByDayAndOpen(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	for i := range 20 { // a file for each open, and 20 sort after 3
		j := open(t, fs, c)
		j.Record(Event{Kind: Read, Reason: fmt.Sprint(i)})
		if i%2 == 1 {
			if got := len(find(t, j, Query{})); got != i+1 {
				t.Fatalf("%d events after open %d", got, i)
			}
			c.add(24 * time.Hour)
			j.Record(Event{Kind: Read, Reason: fmt.Sprint(i, "b")})
			find(t, j, Query{})
			c.add(-24 * time.Hour)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 { // only look at one day below
			names, _ := fs.List("journal")
			for _, n := range names {
				if strings.HasPrefix(n, "2026-11-24") {
					if err := fs.Remove(path.Join("journal", n)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	j := open(t, fs, c)
	defer j.Close()
	for _, limit := range []int{0, 1, 5, 19, 20, 21} {
		events := find(t, j, Query{Limit: limit})
		first := 0
		if limit > 0 {
			first = max(0, 20-limit)
		}
		if len(events) != 20-first {
			t.Fatalf("limit %d: %d events", limit, len(events))
		}
		for i, e := range events {
			if e.Reason != fmt.Sprint(first+i) {
				t.Errorf("limit %d: event %d is %s", limit, i, e.Reason)
			}
		}
	}
}

func TestLimitOverFiles(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	n := 0
	for range 4 {
		j := open(t, fs, c)
		for range 7 {
			j.Record(Event{Kind: Read, Reason: fmt.Sprint(n)})
			n++
		}
		j.Close()
	}
	j := open(t, fs, c)
	defer j.Close()
	for limit := 1; limit <= 30; limit++ {
		var want []string
		for i := max(0, n-limit); i < n; i++ {
			want = append(want, fmt.Sprint(i))
		}
		if got := reasons(find(t, j, Query{Limit: limit})); got != strings.Join(want, " ") {
			t.Errorf("limit %d: %s", limit, got)
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	j := open(t, fs, c)
	for day := range 20 {
		j.Record(Event{Kind: Read, Reason: fmt.Sprint(day)})
		find(t, j, Query{Limit: 1})
		c.add(24 * time.Hour)
	}
	if got, want := reasons(find(t, j, Query{})), "5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	j.Close()
	c.add(365 * 24 * time.Hour)
	j = open(t, fs, c)
	defer j.Close()
	if got := find(t, j, Query{}); len(got) != 0 {
		t.Errorf("%d events of last year", len(got))
	}
	if names, _ := fs.List("journal"); len(names) != 0 {
		t.Errorf("files left, or made without need: %v", names)
	}
}

// What a file may look like after a power cut: ended within a line, filled up
// with zeros, with a damaged line in the middle.
func TestTornFile(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	if err := fs.MkdirAll("journal", 0o700); err != nil {
		t.Fatal(err)
	}
	whole := func(reason string) string {
		return string((&Event{Time: noon, Kind: Read, Reason: reason}).append(nil)) + "\n"
	}
	for name, text := range map[string]string{
		"2026-11-22-0001.jsonl": whole("a") + `{"time":"2026-` + "\n" + whole("b") + "\x00\x00\x00",
		"2026-11-22-0002.jsonl": whole("c") + strings.Repeat("\x00", maxLine+maxLine/2) + "\n" + whole("d") + strings.TrimSuffix(whole("torn"), "\n"),
		"2026-11-22-3.jsonl":    whole("not ours"),
		"notes.txt":             whole("not ours"),
	} {
		f, err := fs.Create(path.Join("journal", name), pebblevfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(text))
		f.Close()
	}
	j := open(t, fs, c)
	defer j.Close()
	j.Record(Event{Kind: Read, Reason: "e"})
	if got := reasons(find(t, j, Query{})); got != "a b c d e" {
		t.Errorf("found %s", got)
	}
}

func TestCloseIsDurable(t *testing.T) {
	t.Parallel()
	fs, c := vfs.NewMemory(), &clock{t: noon}
	j := open(t, fs, c)
	j.Record(Event{Kind: Read, Reason: "kept"})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	j.Record(Event{Kind: Read, Reason: "late"})
	j = open(t, fs.CrashClone(pebblevfs.CrashCloneCfg{}), c)
	defer j.Close()
	if got := reasons(find(t, j, Query{})); got != "kept" {
		t.Errorf("after a crash: %q", got)
	}
}

// A full disk costs events, not mail; the journal goes on when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	var full sync.Map
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if _, on := full.Load("on"); on && op.Kind == errorfs.OpFileWrite {
			return errors.New("no space left on device")
		}
		return nil
	})
	var text bytes.Buffer
	c := &clock{t: noon}
	fs := vfs.NewMemory()
	j, err := Open(Options{FS: errorfs.Wrap(fs, injector), Dir: "journal", Now: c.now, Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	record := func(reason string) {
		j.Record(Event{Kind: Connect, Reason: reason})
		j.flush()
	}
	record("a")
	full.Store("on", true)
	record("b")
	for range 100 {
		record("c")
	}
	c.add(retryAfter)
	record("c")
	full.Delete("on")
	record("lost, too")
	c.add(retryAfter)
	record("d")
	if got := reasons(find(t, j, Query{})); got != "a d" {
		t.Errorf("found %s", got)
	}
	if names, _ := fs.List("journal"); len(names) != 2 {
		t.Errorf("a full disk has left %d files: %q", len(names), names)
	}
	if j.Lost() == 0 {
		t.Error("nothing counted as lost")
	}
	j.Close()
	if n := strings.Count(text.String(), "events are lost"); n != 1 {
		t.Errorf("logged %d times, want once a minute:\n%s", n, text.String())
	}
}

// Who records waits while as much is pending as may be, and only then: not for a
// write to end, once the writer has taken what was pending.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileWrite {
				<-gate
			}
			return nil
		})
		j := open(t, errorfs.Wrap(vfs.NewMemory(), injector), &clock{t: noon})
		// So much has come that the writer, who is about to be told, did not run yet.
		e := Event{Time: noon, Kind: Read, Reason: strings.Repeat("x", maxText)}
		events := 0
		for ; len(j.pending) <= maxPending; events++ {
			j.pending = append(e.append(j.pending), '\n')
		}
		j.added = uint64(len(j.pending))
		full := len(j.pending)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range 3 * events {
				j.Record(e)
			}
		}()
		pending := func(when string) {
			t.Helper()
			synctest.Wait()
			select {
			case <-ended:
				t.Errorf("%s Record does not wait", when)
			default:
			}
			j.mu.Lock()
			defer j.mu.Unlock()
			if n := len(j.pending); n != full {
				t.Errorf("%s %d octets are pending, expected %d", when, n, full)
			}
		}
		pending("before the writer runs")
		j.wake <- struct{}{}
		pending("while the first write hangs")
		gate <- struct{}{}
		pending("while the second write hangs")
		close(gate)
		<-ended
		if got := len(find(t, j, Query{})); got != 4*events {
			t.Errorf("%d events, expected %d", got, 4*events)
		}
		j.Close()
	})
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	j := open(t, vfs.NewMemory(), &clock{t: noon})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				j.Record(Event{Kind: Read, Service: "imap", Reason: fmt.Sprint(i, "/", n)})
				if n%100 == 0 {
					for range j.Find(context.Background(), Query{Limit: 3}) {
					}
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	for _, e := range find(t, j, Query{}) {
		who, n, _ := strings.Cut(e.Reason, "/")
		if fmt.Sprint(next[who]) != n {
			t.Fatalf("%s comes after %d", e.Reason, next[who])
		}
		next[who]++
	}
	if got := j.Counts(); !slices.Equal(got, []Count{{"imap", Read, "", 4000}}) {
		t.Errorf("counts %v", got)
	}
	j.Close()
}

func TestCounts(t *testing.T) {
	t.Parallel()
	j := open(t, vfs.NewMemory(), &clock{t: noon})
	defer j.Close()
	for _, status := range []string{"250 2.1.0 fine", "250 ok", "550 5.1.1 no", "451 x", "", "weird", "99"} {
		j.Record(Event{Kind: Attempt, Service: "queue", Status: status})
	}
	want := []Count{{"queue", Attempt, "", 3}, {"queue", Attempt, "2xx", 2}, {"queue", Attempt, "4xx", 1}, {"queue", Attempt, "5xx", 1}}
	if got := j.Counts(); !slices.Equal(got, want) {
		t.Errorf("counts %v", got)
	}
}

func TestNil(t *testing.T) {
	t.Parallel()
	var j *Journal
	j.Record(Event{Kind: Read})
	for range j.Find(t.Context(), Query{}) {
		t.Error("an event from nowhere")
	}
	if j.Counts() != nil || j.Lost() != 0 || j.Close() != nil {
		t.Error("a nil journal does something")
	}
}

// I12: what strangers say ends in one line without anything that a terminal
// would obey, in the journal and in the log.
func TestHostileText(t *testing.T) {
	t.Parallel()
	evil := "mx\r\n2026 fake line\x1b[2J\x07\u202e\u0085\u2028\u009b31m\U000e0001\xff\"\\end"
	var text bytes.Buffer
	c := &clock{t: noon}
	j, err := Open(Options{FS: vfs.NewMemory(), Dir: "journal", Now: c.now, Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	e := Event{Kind: Reject, Helo: evil, From: evil, To: []string{evil}, Reason: evil, Name: evil, Account: evil}
	j.Record(e)
	got := find(t, j, Query{})
	j.Close()
	if len(got) != 1 || got[0].Helo != strings.ToValidUTF8(evil, "\ufffd") {
		t.Errorf("read back %+v", got)
	}
	for _, line := range []string{string(e.append(nil)), strings.TrimSuffix(text.String(), "\n")} {
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, line)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	c := &clock{t: noon}
	j, err := Open(Options{FS: vfs.NewMemory(), Dir: "journal", Now: c.now, Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	j.Record(Event{Kind: Connect})
	j.Record(Event{Kind: Deliver, Mailbox: "INBOX", UID: 7, Took: time.Second})
	j.Record(Event{Kind: Panic, Reason: "oh"})
	j.Close()
	for _, want := range []string{`level=INFO msg=deliver mailbox=INBOX uid=7 took=1s`, `level=ERROR msg=panic reason=oh`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), Connect) {
		t.Errorf("a connection was logged:\n%s", text.String())
	}
}

// The encoder agrees with encoding/json about every field of Event.
func TestEncodesAllFields(t *testing.T) {
	t.Parallel()
	var e Event
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString("text of " + v.Type().Field(i).Name)
		case []string:
			f.Set(reflect.ValueOf([]string{"one", "two"}))
		case time.Time:
			f.Set(reflect.ValueOf(noon.Add(time.Nanosecond)))
		case mail.ID:
			f.Set(reflect.ValueOf(mail.NewID(noon)))
		case mail.Fault:
			f.Set(reflect.ValueOf(mail.FaultMailbox))
		default:
			if f.CanInt() {
				f.SetInt(int64(i + 1))
			} else {
				f.SetUint(uint64(i + 1))
			}
		}
	}
	want, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.append(nil); string(got) != string(want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func FuzzJournalLine(f *testing.F) {
	f.Add("a", "b@c", "d\r\n\x1b", int64(1), uint32(2))
	f.Add("", "\xff\xfe", "\U0001f600\u2028", int64(-1), uint32(0))
	f.Add(strings.Repeat("ü", 600), strings.Repeat("x", 1023)+"ü", `\"`, int64(0), uint32(9))
	f.Fuzz(func(t *testing.T, helo, to, reason string, size int64, uid uint32) {
		e := Event{Time: noon, Kind: Reject, Helo: helo, To: []string{to, to}, Reason: reason, Size: size, UID: uid}
		line := e.append(nil)
		for _, r := range string(line) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U in %q", r, line)
			}
		}
		var got Event
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, pair := range [][2]string{{got.Helo, helo}, {got.To[1], to}, {got.Reason, reason}} {
			want := strings.ToValidUTF8(pair[1], "\ufffd")
			if len(pair[1]) <= maxText && len([]rune(pair[0])) != len([]rune(pair[1])) {
				t.Fatalf("%q came back as %q", pair[1], pair[0])
			}
			if len(pair[1]) <= maxText && want == pair[1] && pair[0] != want {
				t.Fatalf("%q came back as %q", pair[1], pair[0])
			}
			if len(pair[1]) > maxText && want == pair[1] && (!strings.HasPrefix(want, pair[0]) || len(pair[0]) < maxText-4) {
				t.Fatalf("%q was cut to %q", pair[1], pair[0])
			}
		}
		if got.Size != size || got.UID != uid || !got.Time.Equal(noon) {
			t.Fatalf("read back %+v", got)
		}
		// And any bytes at all may stand in a file.
		newFilter(Query{To: to, From: helo}).match([]byte(reason))
		parseName(helo)
	})
}

func BenchmarkRecord(b *testing.B) {
	c := &clock{t: noon}
	j, err := Open(Options{FS: vfs.Disk(), Dir: b.TempDir(), Now: c.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	e := Event{Kind: Accept, Service: "smtp", Conn: mail.NewID(noon), Message: mail.NewID(noon), MessageID: "<20261123120000.1234@mx.example.org>",
		From: "alice@example.org", To: []string{"bob@example.net"}, Remote: "192.0.2.1:2525", Helo: "mx.example.org", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256", Status: "250 2.0.0 ok", Size: 2048}
	b.ReportAllocs()
	for b.Loop() {
		j.Record(e)
	}
}

func BenchmarkFind(b *testing.B) {
	c := &clock{t: noon}
	j := open(b, vfs.NewMemory(), c)
	defer j.Close()
	const events = 100_000
	for range events {
		j.Record(Event{Kind: Accept, Service: "smtp", Message: mail.NewID(noon), From: "alice@example.org", To: []string{"bob@example.net"}})
	}
	id := mail.NewID(noon)
	j.Record(Event{Kind: Accept, Message: id})
	for b.Loop() {
		if len(find(b, j, Query{Message: id})) != 1 {
			b.Fatal("not found")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}
