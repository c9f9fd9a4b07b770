package messagetest_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"plic/internal/message"
	"plic/internal/message/messagetest"
)

// script prints the structure of the messages that it reads, a line for each, as
// Python's email package sees it.
const script = `
import sys, json, base64, email, email.policy
def walk(m):
    t = m.get_content_type()
    if m.is_multipart():
        return [t] + [walk(p) for p in m.get_payload()]
    body = m.get_payload(decode=True)
    return [t, len(body.replace(b'\r\n', b'\n').rstrip(b'\n'))]
for raw in json.load(sys.stdin):
    m = email.message_from_bytes(base64.b64decode(raw), policy=email.policy.compat32)
    print(json.dumps(walk(m)))
`

// walk gives the same of a part of ours.
func walk(raw []byte, p *message.Part) []any {
	out := []any{p.Type + "/" + p.Subtype}
	switch {
	case p.Embedded != nil:
		return append(out, walk(raw, p.Embedded))
	case p.Children != nil:
		for _, c := range p.Children {
			out = append(out, walk(raw, c))
		}
		return out
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(message.DecodeBody(bytes.NewReader(raw[p.Body:p.End]), p.Encoding)); err != nil {
		return append(out, err.Error())
	}
	text := bytes.ReplaceAll(body.Bytes(), []byte("\r\n"), []byte("\n"))
	return append(out, len(bytes.TrimRight(text, "\n")))
}

// differs names the samples that Python reads in another way, and why ours is
// right or as good.
var differs = map[string]string{
	"broken-base64":     "we go on after padding",
	"broken-qp":         "we drop white space at the end of lines",
	"deep-messages":     "we stop at a depth of 100",
	"deep-multipart":    "we stop at a depth of 100",
	"dsn-failure":       "Python parses message/delivery-status into parts",
	"dsn-headers":       "Python parses message/delivery-status into parts",
	"from-tricks":       "Python ends the header at a space before a colon",
	"junk-in-header":    "Python ends the header at a stray line",
	"mdn":               "Python parses message/disposition-notification as a message",
	"no-boundary-found": "we show a multipart without parts as text",
	"no-boundary-param": "we show a multipart without parts as text",
	"partial-external":  "Python parses message/partial and external-body as messages",
	"rfc822-base64":     "we do not look into an encoded message",
	"same-boundary":     "Python gives both parts to the inner multipart",
	"type-comment":      "Python does not know comments in Content-Type",
	"bare-cr":           "Python ends lines at a bare CR",
}

// TestPython compares the structure of the samples with what Python's email
// package makes of them. It needs python3.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	var names []string
	var want [][]any
	var raws [][]byte
	for _, s := range messagetest.All() {
		m, err := message.Parse(bytes.NewReader(s.Raw), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		names, raws, want = append(names, s.Name), append(raws, s.Raw), append(want, walk(s.Raw, m.Root))
	}
	in, err := json.Marshal(raws)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("python3 fails: %v", err)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) != len(names) {
		t.Fatalf("%d answers for %d messages", len(lines), len(names))
	}
	for i, name := range names {
		ours, err := json.Marshal(want[i])
		if err != nil {
			t.Fatal(err)
		}
		theirs := bytes.ReplaceAll(lines[i], []byte(", "), []byte(","))
		if _, ok := differs[name]; !ok && !bytes.Equal(ours, theirs) {
			t.Errorf("%s\nours   %.300s\nPython %.300s", name, ours, theirs)
		}
	}
}
