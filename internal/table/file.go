package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// file is a table in a text file. It is read when it is opened, and again when
// it has changed. While it is gone or has a fault, the last good content holds:
// a slip of an editor must neither stop the mail nor refuse it.
type file struct {
	o     Options
	path  string
	parse func([]byte) (content, error)

	now    atomic.Pointer[state]
	looked atomic.Int64 // when the file was last looked at
	reload sync.Mutex
}

// state is what was read and of which file.
type state struct {
	content
	time, read time.Time
	size       int64
	fault      string // why a newer file is not used
}

func openFile(o Options, path string, parse func([]byte) (content, error)) (Table, error) {
	f := &file{o: o, path: path, parse: parse}
	s, err := f.load()
	if err != nil {
		return nil, err
	}
	f.now.Store(s)
	return f, nil
}

// Lookup finds a key.
func (f *file) Lookup(_ context.Context, key string) (string, bool, error) {
	value, found := f.fresh().lookup(key)
	return value, found, nil
}

// tick is how often a file is looked at, and how coarse the times of a file
// system may be: a file that was changed less than that before it was read may
// have been changed since.
const tick = 100 * time.Millisecond

// fresh is the content of the file as it is now. One caller reads a new one,
// others go on with what there is.
func (f *file) fresh() content {
	s := f.now.Load()
	now := f.o.Now().UnixNano()
	if last := f.looked.Load(); now-last < int64(tick) && now >= last {
		return s
	}
	f.looked.Store(now)
	info, err := f.o.FS.Stat(f.path)
	if err == nil && info.ModTime().Equal(s.time) && info.Size() == s.size && s.read.Sub(s.time) > tick {
		return s
	}
	if !f.reload.TryLock() {
		return s
	}
	defer f.reload.Unlock()
	next, err := f.load()
	if err != nil {
		next = &state{content: s.content, fault: err.Error()}
		if info != nil {
			next.time, next.size, next.read = info.ModTime(), info.Size(), f.o.Now()
		}
		if s.fault != next.fault {
			f.o.Log.Error("a table cannot be read, its last content holds", "table", f.path, "error", err)
		}
	}
	f.now.Store(next)
	return next
}

func (f *file) load() (*state, error) {
	r, err := f.o.FS.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", f.path)
	}
	s := &state{time: info.ModTime(), size: info.Size(), read: f.o.Now()}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if s.content, err = f.parse(text); err != nil {
		return nil, fmt.Errorf("%s, %w", f.path, err)
	}
	return s, nil
}

// logical are the lines of a text with their numbers: those that begin with
// white space go on with the one before. Comments and empty lines are left out.
func logical(text []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		whole, start := "", 0
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			trimmed := strings.TrimSpace(line)
			switch {
			case trimmed == "" || trimmed[0] == '#':
			case (line[0] == ' ' || line[0] == '\t') && whole != "":
				whole += " " + trimmed
			default:
				if whole != "" && !yield(start, whole) {
					return
				}
				whole, start = trimmed, n
			}
		}
		if whole != "" {
			yield(start, whole)
		}
	}
}

// parseLines makes content of a text: add takes one logical line.
func parseLines(text []byte, add func(line string) error) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	var errs []error
	for n, line := range logical(text) {
		if err := add(line); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			if len(errs) == 10 {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// parseFile reads "key value" lines: the key ends at white space that stands in
// no quotes. Quotes around the whole of a key do not belong to it.
func parseFile(text []byte) (content, error) {
	p := pairs{}
	err := parseLines(text, func(line string) error {
		end, quotes := 0, 0
		for ; end < len(line) && (quotes%2 == 1 || line[end] != ' ' && line[end] != '\t'); end++ {
			switch line[end] {
			case '"':
				quotes++
			case '\\':
				end++
			}
		}
		if quotes%2 == 1 {
			return fmt.Errorf("the quote of %s does not end", line)
		}
		end = min(end, len(line))
		key := line[:end]
		if quotes == 2 && key[0] == '"' && key[end-1] == '"' {
			key = key[1 : end-1]
		}
		return p.add(key, strings.TrimSpace(line[end:]))
	})
	return p, err
}

// parseAliases reads "name: value" lines, the name perhaps in quotes.
func parseAliases(text []byte) (content, error) {
	p := pairs{}
	err := parseLines(text, func(line string) error {
		name, value, ok := strings.Cut(line, ":")
		if strings.HasPrefix(line, `"`) {
			var rest string
			if name, rest, ok = strings.Cut(line[1:], `"`); ok {
				value, ok = strings.CutPrefix(strings.TrimSpace(rest), ":")
			}
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			return fmt.Errorf(`%q is no alias: write "name: target, target"`, line)
		}
		return p.add(name, value)
	})
	return p, err
}

// cutSpace cuts a line at its first white space.
func cutSpace(line string) (first, rest string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}
