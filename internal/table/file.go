package table

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// file is a table in a text file.
type file struct{ *File[content] }

func openFile(o Options, path string, parse func([]byte) (content, error)) (Table, error) {
	f, err := OpenFile(o, path, parse)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Lookup finds a key.
func (f file) Lookup(_ context.Context, key string) (string, bool, error) {
	value, found := f.Content().lookup(key)
	return value, found, nil
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
