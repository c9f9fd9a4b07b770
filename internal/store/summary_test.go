package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store/engine"
)

var summarized = []string{
	"Subject: x\r\n\r\nhello\r\n",
	"From: a@x.test\r\nTo: b@x.test\r\nMessage-ID: <1@x.test>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
	"From: \"A\" <a@x.test>\r\nSender: s@x.test\r\nSubject: =?utf-8?q?=C3=A9?=\r\nReferences: <1@x> <2@x>\r\n\r\nx\r\n",
	"From: a@x.test\r\nReply-To: r@x.test\r\n\r\nx\r\n",
	"From: a@x.test, \xc3\xa9 <b@x.test>\r\nSubject: \xc3\xa9\r\n\r\n\r\n",
}

// TestSummary: all that was known of a message is read from its summary, and from
// one of the version before.
func TestSummary(t *testing.T) {
	t.Parallel()
	before := message.ParseBytes([]byte("Date: today\r\nReferences: <0@x>\r\n\r\n"), message.Limits{}).Root.Header
	for _, text := range summarized {
		for _, prefix := range [][]message.Field{nil, before} {
			m := message.ParseBytes([]byte(text), message.Limits{})
			sum := summarize(m, prefix)
			old := summarizeBefore(m, prefix)
			if len(sum) >= len(old) {
				t.Errorf("%q: %d octets, and %d before", text, len(sum), len(old))
			}
			for _, b := range [][]byte{sum, old} {
				checkSummary(t, m, prefix, b)
			}
			for n := range sum[1:] {
				if d, err := readSummary(1, engine.Detail{Summary: sum[:1+n]}); !errors.Is(err, engine.ErrDamaged) {
					t.Errorf("%d octets of %d are taken: %+v", 1+n, len(sum), d)
				}
			}
		}
	}
}

func checkSummary(t *testing.T, m *message.Message, prefix []message.Field, b []byte) {
	t.Helper()
	root := *m.Root
	root.Header = append(prefix[:len(prefix):len(prefix)], root.Header...)
	d, err := readSummary(1, engine.Detail{Summary: b})
	if err != nil {
		t.Fatal(err)
	}
	body, err := d.AppendBody([]byte("BODY "))
	if err != nil {
		t.Error(err)
	}
	for _, c := range [...]struct{ got, want []byte }{
		{d.AppendEnvelope([]byte("E ")), imap.AppendEnvelope([]byte("E "), root.Envelope())},
		{body, imap.AppendStructure([]byte("BODY "), m.Root, false)},
		{d.BodyStructure, imap.AppendStructure(nil, m.Root, true)},
		{d.preview, []byte(m.Text)},
		{d.keys, appendKeys(nil, root.Envelope(), root.Get("References"))},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("version %d: %q, want %q", b[0], c.got, c.want)
		}
	}
}

// summarizeBefore writes a summary as the version before did.
func summarizeBefore(m *message.Message, before []message.Field) []byte {
	root := *m.Root
	root.Header = append(before[:len(before):len(before)], root.Header...)
	env := root.Envelope()
	b := []byte{summaryBefore}
	for _, field := range [][]byte{
		imap.AppendEnvelope(nil, env), imap.AppendStructure(nil, m.Root, false), imap.AppendStructure(nil, m.Root, true),
		[]byte(m.Text), appendKeys(nil, env, root.Get("References")),
	} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
	}
	return b
}

// FuzzReadSummary: no record makes reading it panic.
func FuzzReadSummary(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{summaryBefore, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{summaryBefore, 255, 255, 255, 255})
	f.Add([]byte{summaryVersion, 0, 3, 2, 'x', 'y', 0, 0, 0})
	f.Add([]byte{summaryVersion, 255, 255, 255, 255, 15})
	for _, text := range summarized {
		f.Add(summarize(message.ParseBytes([]byte(text), message.Limits{}), nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readSummary(1, engine.Detail{Summary: b})
		if err != nil {
			return
		}
		d.AppendBody(nil)
		d.Keys()
		if n := len(d.AppendEnvelope(nil)) + len(d.BodyStructure) + len(d.Preview()); n > 3*len(b) {
			t.Fatalf("%d octets read out of %d", n, len(b))
		}
	})
}
