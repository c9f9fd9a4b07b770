package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// clean makes text from strangers fit for a terminal.
func clean(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// table is rows in aligned columns; the last column is not padded.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table with an indent, and nothing when there is no row.
func (t *table) write(w io.Writer, indent string) {
	if len(t.rows) == 0 {
		return
	}
	rows := t.rows
	if t.head != nil {
		rows = append([][]string{t.head}, rows...)
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = clean(cell)
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			line += cell
			if i < len(row)-1 {
				line += strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// list prints values as a table, or as JSON lines if that was asked for. When
// there is none, it says so to people.
func list[T any](a *app, values iter.Seq2[T, error], none string, head []string, row func(T) []string) error {
	if a.json {
		return jsonLines(a.out, values)
	}
	t := table{head: head}
	for v, err := range values {
		if err != nil {
			t.write(a.out, "")
			return err
		}
		t.add(row(v)...)
	}
	if len(t.rows) == 0 {
		fmt.Fprintln(a.err, none)
	}
	t.write(a.out, "")
	return nil
}

// values are those of a list, for list and jsonLines.
func values[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// only is one value for them.
func only[T any](v T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yield(v, nil) }
}

func jsonLines[T any](w io.Writer, values iter.Seq2[T, error]) error {
	var line bytes.Buffer
	out := json.NewEncoder(&line)
	out.SetEscapeHTML(false)
	for v, err := range values {
		if err != nil {
			return err
		}
		line.Reset()
		if err := out.Encode(v); err != nil {
			return err
		}
		if _, err := w.Write(visible(line.Bytes())); err != nil {
			return err
		}
	}
	return nil
}

// visible escapes in a line of JSON what encoding/json leaves alone and a
// terminal does not: DEL, the controls above it, and what turns text round.
func visible(line []byte) []byte {
	hidden := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if bytes.IndexFunc(line, hidden) < 0 {
		return line
	}
	var b []byte
	for _, r := range string(line) {
		if !hidden(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}

// span is a length of time in its largest unit, and in two when that says
// little.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Abs(); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 3*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d/day))
}

// when is an instant seen from now: "5m ago", "in 2h10m".
func when(at, now time.Time) string {
	switch d := at.Sub(now); {
	case at.IsZero():
		return "never"
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return span(d) + " ago"
	default:
		return "in " + span(d)
	}
}

// octets is a size for people.
func octets(n int64) string {
	const kib = 1 << 10
	switch {
	case n < kib:
		return fmt.Sprintf("%d B", n)
	case n < kib<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	case n < kib<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(kib<<10))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(kib<<20))
}
