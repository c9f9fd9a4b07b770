package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// Query says which events are wanted; what is zero does not matter.
type Query struct {
	Message   mail.ID
	Conn      mail.ID
	MessageID string    // the header field, with or without brackets: all events of those messages
	From, To  string    // an address or "@domain", in any case
	Account   string    // likewise, as it logs in or is delivered to
	Kind      string    // one of the kinds of event
	Remote    string    // the address of a client
	Since     time.Time // inclusive
	Until     time.Time // exclusive
	Limit     int       // the newest so many
}

// maxLine bounds a line that is read; no event is longer.
const maxLine = 8 * maxTo * maxText

// Find gives the events asked for, oldest first, including those recorded just
// now. Lines that are not whole are passed over. The error is of reading.
func (j *Journal) Find(ctx context.Context, q Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if j == nil {
			return
		}
		j.flush()
		names, err := j.files()
		if err != nil {
			yield(Event{}, fmt.Errorf("journal: %w", err))
			return
		}
		f := newFilter(q)
		names = slices.DeleteFunc(names, f.skips)
		if f.messageID != "" {
			if err := j.collect(ctx, names, f); err != nil {
				yield(Event{}, err)
				return
			}
		}
		if q.Limit > 0 {
			j.newest(ctx, names, f, q.Limit, yield)
			return
		}
		for _, name := range names {
			for e, err := range j.scan(ctx, name, f) {
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// collect learns which messages bear the Message-ID: most events of a message
// name it only by its ID.
func (j *Journal) collect(ctx context.Context, names []fileName, f *filter) error {
	seek := &filter{messageID: f.messageID, needles: [][]byte{f.needle(f.messageID)}}
	for _, name := range names {
		for e, err := range j.scan(ctx, name, seek) {
			if err != nil {
				return err
			}
			if !e.Message.IsZero() {
				f.messages[e.Message] = true
			}
		}
	}
	f.needles, f.fold = nil, false
	if len(f.messages) <= 16 { // else the decoder decides
		f.needles = append(f.needles, f.needle(f.messageID))
		for id := range f.messages {
			f.needles = append(f.needles, []byte(id.String()))
		}
	}
	return nil
}

// newest goes back through the files until it has enough.
func (j *Journal) newest(ctx context.Context, names []fileName, f *filter, limit int, yield func(Event, error) bool) {
	var found []Event // newest file first, each file's events in order
	var ends []int
	for _, name := range slices.Backward(names) {
		start := len(found)
		for e, err := range j.scan(ctx, name, f) {
			if err != nil {
				yield(Event{}, err)
				return
			}
			found = append(found, e)
			if n := len(found) - start; n >= 2*(limit-start) { // keep the newest, moving seldom
				found = append(found[:start], found[len(found)-(limit-start):]...)
			}
		}
		if over := len(found) - limit; over > 0 {
			found = append(found[:start], found[start+over:]...)
		}
		ends = append(ends, start)
		if len(found) == limit {
			break
		}
	}
	end := len(found)
	for _, start := range slices.Backward(ends) {
		for _, e := range found[start:end] {
			if !yield(e, nil) {
				return
			}
		}
		end = start
	}
}

// scan reads one file. One that retention took away meanwhile is empty.
func (j *Journal) scan(ctx context.Context, name fileName, f *filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		path := j.o.FS.PathJoin(j.o.Dir, name.String())
		file, err := j.o.FS.Open(path)
		if vfs.NotExist(err) {
			return
		}
		if err != nil {
			yield(Event{}, fmt.Errorf("journal: %w", err))
			return
		}
		defer file.Close()
		lines := lineReader{r: bufio.NewReaderSize(file, 64<<10)}
		for n := 0; ; n++ {
			line, err := lines.next()
			if err == io.EOF {
				return
			}
			if n%1024 == 0 && err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("journal %s: %w", path, err))
				return
			}
			if e, ok := f.match(line); ok && !yield(e, nil) {
				return
			}
		}
	}
}

// lineReader reads lines; of one longer than maxLine, as only damage makes
// it, it gives the beginning.
type lineReader struct {
	r    *bufio.Reader
	long []byte
}

// next gives a line that is good until the following call. A last line
// without its end is torn and left out.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	l.long = append(l.long[:0], line...)
	for err == bufio.ErrBufferFull {
		line, err = l.r.ReadSlice('\n')
		if len(l.long) < maxLine {
			l.long = append(l.long, line...)
		}
	}
	return l.long, err
}

// filter is a query made ready. A line without any of the needles is passed
// over undecoded; that is where the speed comes from.
type filter struct {
	q         Query
	from, to  string
	account   string
	messageID string
	messages  map[mail.ID]bool // with messageID
	needles   [][]byte
	fold      bool // compare needles with the line in lower case
	lower     []byte
}

func newFilter(q Query) *filter {
	f := &filter{q: q, from: canonical(q.From), to: canonical(q.To), account: canonical(q.Account), messages: map[mail.ID]bool{}}
	f.messageID = strings.Trim(q.MessageID, "<> ")
	for _, text := range []string{f.from, f.to, f.account} {
		if needle := f.needle(text); needle != nil && f.needles == nil {
			f.needles, f.fold = [][]byte{needle}, true
		}
	}
	for _, text := range []string{q.Remote, q.Kind} {
		if needle := f.needle(text); needle != nil && f.needles == nil {
			f.needles = [][]byte{needle}
		}
	}
	for _, id := range []mail.ID{q.Conn, q.Message} {
		if !id.IsZero() {
			f.needles, f.fold = [][]byte{[]byte(id.String())}, false
		}
	}
	return f
}

// needle is the text as it must stand in a line, or nil if that is not sure.
func (*filter) needle(text string) []byte {
	if text == "" {
		return nil
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return []byte{}
		}
	}
	return []byte(text)
}

// canonical writes an address or "@domain" as events have it, in lower case.
func canonical(text string) string {
	if name, ok := strings.CutPrefix(text, "@"); ok {
		if d, err := mail.ParseDomain(name); err == nil {
			return "@" + d.String()
		}
	} else if a, err := mail.ParseAddress(strings.Trim(text, "<>")); err == nil {
		text = a.String()
	}
	return strings.ToLower(text)
}

func (f *filter) match(line []byte) (e Event, ok bool) {
	if len(f.needles) > 0 {
		hay := line
		if f.fold {
			f.lower = appendLower(f.lower[:0], line)
			hay = f.lower
		}
		if !slices.ContainsFunc(f.needles, func(n []byte) bool { return bytes.Contains(hay, n) }) {
			return e, false
		}
	}
	if json.Unmarshal(line, &e) != nil {
		return e, false
	}
	return e, f.wants(&e)
}

func appendLower(b, line []byte) []byte {
	b = append(b, line...)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

func (f *filter) wants(e *Event) bool {
	switch {
	case !f.q.Message.IsZero() && e.Message != f.q.Message,
		!f.q.Conn.IsZero() && e.Conn != f.q.Conn,
		!f.q.Since.IsZero() && e.Time.Before(f.q.Since),
		!f.q.Until.IsZero() && !e.Time.Before(f.q.Until),
		f.q.Kind != "" && e.Kind != f.q.Kind,
		f.q.Remote != "" && e.Remote != f.q.Remote,
		f.account != "" && !matches(e.Account, f.account),
		f.from != "" && !matches(e.From, f.from),
		f.to != "" && !slices.ContainsFunc(e.To, func(to string) bool { return matches(to, f.to) }):
		return false
	}
	return f.messageID == "" || f.messages[e.Message] || strings.Trim(e.MessageID, "<> ") == f.messageID
}

func matches(address, pattern string) bool {
	address = strings.ToLower(address)
	if strings.HasPrefix(pattern, "@") {
		return strings.HasSuffix(address, pattern)
	}
	return address == pattern
}

// skips says that nothing in the file can be wanted. Events may be some
// moments older than their file, hence the day of grace.
func (f *filter) skips(n fileName) bool {
	day, _ := time.Parse(time.DateOnly, n.day)
	return !f.q.Since.IsZero() && day.AddDate(0, 0, 2).Before(f.q.Since) ||
		!f.q.Until.IsZero() && day.AddDate(0, 0, -1).After(f.q.Until)
}

// fileName is "2026-11-23-0001.jsonl": a day and a number within it, because
// each start of the server begins a file of its own.
type fileName struct {
	day    string
	number int
}

// String is the name without the directory.
func (n fileName) String() string { return fmt.Sprintf("%s-%04d.jsonl", n.day, n.number) }

func parseName(name string) (n fileName, ok bool) {
	base, ok := strings.CutSuffix(name, ".jsonl")
	if !ok || len(base) < len("2006-01-02-1") || base[10] != '-' {
		return n, false
	}
	number, err := strconv.Atoi(base[11:])
	if _, bad := time.Parse(time.DateOnly, base[:10]); bad != nil || err != nil || number < 0 {
		return n, false
	}
	n = fileName{base[:10], number}
	return n, n.String() == name
}

// files lists the journal's files, oldest first.
func (j *Journal) files() ([]fileName, error) {
	list, err := j.o.FS.List(j.o.Dir)
	if err != nil {
		return nil, err
	}
	var names []fileName
	for _, name := range list {
		if n, ok := parseName(name); ok {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b fileName) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.number, b.number))
	})
	return names, nil
}
