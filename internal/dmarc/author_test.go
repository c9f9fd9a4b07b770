package dmarc_test

import (
	"strings"
	"testing"

	"plic/internal/dmarc"
	"plic/internal/message"
	"plic/internal/sieve"
)

// TestOneAuthor (P6): the author that is held against signatures is the one
// that mail programs are shown by ENVELOPE and that scripts are told of,
// however From is written; where they could differ there is none.
func TestOneAuthor(t *testing.T) {
	t.Parallel()
	filter, err := sieve.Compile(`require ["variables","fileinto"]; if address :domain :matches "from" "*" { fileinto "${1}"; } else { discard; }`, sieve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		"From: a@good.example":                                  "good.example",
		"From: A <a@GOOD.example>":                              "good.example",
		"From: a@evil.example <b@good.example>":                 "good.example",
		"From: \"a@evil.example\" <b@good.example>":             "good.example",
		"From: <@evil.example:b@good.example>":                  "good.example",
		"From: b@good.example (a@evil.example)":                 "good.example",
		"From: (a@evil.example) b@good.example":                 "good.example",
		"From: =?utf-8?q?a=40evil=2Eexample?= <b@good.example>": "good.example",
		"From: \"b@evil.example\"@good.example":                 "good.example",
		"From: a@good.example, b@good.example":                  "good.example",
		"From:\r\n b@good.example":                              "good.example",
		"From: b@good.example\r\nSender: a@evil.example":        "good.example",
		"From : b@good.example":                                 "good.example",
		"Subject: x\r\nfrom: b@good.example":                    "good.example",
		"From: a@evil.example\r\nFrom: b@good.example":          "",
		"From: b@good.example\r\nFROM: a@evil.example":          "",
		"From: b@good.example\r\nFrom : a@evil.example":         "",
		"From: a@evil.example, b@good.example":                  "",
		"From: friends: a@evil.example, b@good.example;":        "",
		"From: <a@evil.example> <b@good.example>":               "",
		"From: a@evil.example\x00 <b@good.example>":             "",
		"From: ":          "",
		"From: nobody":    "",
		"From: <>":        "",
		"Subject: none":   "",
		"From: friends:;": "",
	} {
		text := from + "\r\nTo: c@plic.test\r\n\r\nbody\r\n"
		msg, err := message.Parse(strings.NewReader(text), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		author, err := dmarc.Author(msg.Root.Header)
		if author != want || (err == nil) != (want != "") {
			t.Errorf("%q: the author is %q, %v", from, author, err)
		}
		if err != nil {
			continue
		}
		for _, a := range msg.Root.Envelope().From {
			if !a.Group && !strings.EqualFold(a.Host, author) {
				t.Errorf("%q: the author is %q, a reader is shown %q", from, author, a.Address())
			}
		}
		done, err := filter.Run(&sieve.Input{Message: msg, Body: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range done.Actions {
			if f, ok := a.(*sieve.FileInto); ok && !strings.EqualFold(f.Mailbox, author) {
				t.Errorf("%q: the author is %q, a script is told of %q", from, author, f.Mailbox)
			}
		}
	}
}
