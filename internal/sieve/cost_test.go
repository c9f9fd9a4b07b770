package sieve

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"plic/internal/message"
)

// asked is a site that is asked much.
type asked struct{ mailboxes }

func (asked) Known(string) bool                     { return true }
func (asked) Contains(string, string) (bool, error) { return false, nil }

// What costs more than it seems to is counted as what it costs: each of these is
// a few steps by its commands and tests.
func TestHiddenCost(t *testing.T) {
	t.Parallel()
	raw := "Content-Type: multipart/mixed; boundary=b\r\n" + strings.Repeat("X-Many: x\r\n", 1000) + "\r\n" +
		strings.Repeat("--b\r\n\r\nx\r\n", 2000) +
		"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("*", 2<<20) + "\r\n--b--\r\n"
	parts, err := message.Parse(strings.NewReader(raw), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	double := func(s string) string {
		return `set "a" "` + s + `"; ` + strings.Repeat(`set "a" "${a}${a}"; `, 13-len(s)/32)
	}
	names := func(n int) string { return `"` + strings.Repeat(`none", "`, n-1) + `none"` }
	for name, src := range map[string]string{
		"fields of all parts":  `require "mime"; if anyof(` + strings.Repeat(`exists :mime :anychild "none", `, 9) + `false) { stop; }`,
		"names of many fields": `if header :is [` + names(500) + `] "x" { stop; }`,
		"keys of variables":    `require "variables"; ` + double("a") + `if header :is "none" ["x"` + strings.Repeat(`, "${a}"`, 200) + `] { stop; }`,
		"keys without values":  `require "environment"; ` + strings.Repeat(`if environment :is "none" ["k"`+strings.Repeat(`, "k"`, 1000)+`] { stop; } `, 150),
		"garbage":              `require ["foreverypart", "mime", "extracttext", "variables"]; foreverypart { if header :mime :is "Content-Transfer-Encoding" "base64" { extracttext "a"; } }`,
		"a pattern":            `require "variables"; ` + double("a") + `if string :matches "${a}" "*` + strings.Repeat("a", 1000) + `b" { stop; }`,
		"an expression":        `require ["regex", "variables"]; ` + double("a") + `set "a" "${a}${a}"; if string :regex "` + strings.Repeat("a", 1000) + `" "(a?){1000}b" { stop; }`,
		"one made meanwhile":   `require ["regex", "variables"]; set "a" "(\\p{L}){100}"; if string :regex "" "${a}" { stop; }`,
		"lists":                `require "extlists"; if header :list "X-Many" "tag:example.org,2026:l" { stop; }`,
		"mailboxes":            `require "mailbox"; if mailboxexists ["INBOX"` + strings.Repeat(`, "INBOX"`, 100) + `] { stop; }`,
		"annotations":          `require "mboxmetadata"; if anyof(` + strings.Repeat(`metadata "INBOX" "/private/x" "y", `, 100) + `false) { stop; }`,
		"replaced":             `require ["replace", "variables"]; ` + double("a") + strings.Repeat(`replace "${a}"; `, 200),
		"added":                `require ["editheader", "variables"]; ` + double("a") + strings.Repeat(`addheader "X" "${a}"; `, 200),
		"at the end":           `require ["imap4flags", "variables"]; ` + double("a ") + `keep :flags [""` + strings.Repeat(`, "${a}"`, 200) + `];`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Compile(src, Options{Limits: Limits{Steps: 8000, Script: 1 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			in, _ := input(t, "plain")
			in.Message, in.Body = parts, strings.NewReader(raw)
			in.Lists, in.Mailboxes = asked{}, asked{}
			r, err := s.Run(in)
			if err == nil || !strings.Contains(err.Error(), "too long") || !r.Keep || len(r.Actions)+len(r.Edits) > 0 {
				t.Errorf("%v %+v", err, r)
			}
		})
	}
}

// Nor does one message leave any number of things to remember.
func TestRemembered(t *testing.T) {
	t.Parallel()
	var src strings.Builder
	src.WriteString(`require "duplicate"; `)
	for i := range maxRemembered + 1 {
		fmt.Fprintf(&src, `if duplicate :uniqueid "%d" { stop; } `, i)
	}
	s, err := Compile(src.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := input(t, "plain")
	if r, err := s.Run(in); err == nil || len(r.Remember) > 0 {
		t.Errorf("%v, %d", err, len(r.Remember))
	}
}

// What scripts are compiled to is bounded, too, whatever they are made of.
func TestCompiledSize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ src, want string }{
		"an expression": {`require "regex"; if header :regex "a" "\\p{L}{1000}" { stop; }`, "too large"},
		"a long one":    {`require "regex"; if header :regex "a" "` + strings.Repeat("a", 5000) + `" { stop; }`, "too large"},
		"many":          {`require "regex"; if header :regex "a" [` + strings.Repeat(`"(a?){1000}", `, 100) + `"a"] { stop; }`, "too large together"},
		"scripts":       {`require "include"; ` + strings.Repeat(`include "long"; `, 6), "together"},
		"people":        {`require "enotify"; notify "mailto:a@example.org` + strings.Repeat(",b@example.org", maxNotified) + `";`, "people"},
	} {
		_, err := Compile(c.src, Options{Load: func(bool, string) (string, error) { return "#" + strings.Repeat(" ", 200<<10) + "\n", nil }})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// References that are none are not looked through again and again.
func TestReferencesThatAreNone(t *testing.T) {
	src := `require ["variables", "encoded-character"]; if string "` + strings.Repeat("${", 60000) + `}" "" { stop; }`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Compile(src, Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
		t.Errorf("%d octets taken for a script of %d", n, len(src))
	}
}
