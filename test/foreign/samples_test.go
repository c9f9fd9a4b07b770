package foreign

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/message/messagetest"
	"plic/test/trial"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// appendAll puts samples into an empty mailbox.
func appendAll(t *testing.T, c *imapclient.Client, box string, samples []messagetest.Sample) {
	t.Helper()
	for i, m := range samples {
		cmd := c.Append(box, int64(len(m.Raw)), nil)
		_, err := cmd.Write(m.Raw)
		ok(t, err)
		ok(t, cmd.Close())
		data := must[*imap.AppendData](t)(cmd.Wait())
		equal(t, m.Name+": UID", data.UID, imap.UID(i+1))
	}
}

// Every kind of message can be told to a client: its ENVELOPE, structure and
// octets, of the whole and of each part.
func TestSamples(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann)
	c := login(t, s, ann, listen())
	ok(t, c.Create("samples", nil).Wait())
	// Nothing at all takes an APPEND back, RFC 3502, and NUL needs a literal8.
	samples := slices.DeleteFunc(messagetest.All(), func(m messagetest.Sample) bool {
		return len(m.Raw) == 0 || bytes.IndexByte(m.Raw, 0) >= 0
	})
	appendAll(t, c, "samples", samples)
	must[*imap.SelectData](t)(c.Select("samples", nil).Wait())

	whole := &imap.FetchItemBodySection{Peek: true}
	header := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader}
	text := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierText}
	for i, m := range samples {
		got, err := c.Fetch(imap.SeqSetNum(uint32(i+1)), &imap.FetchOptions{
			UID: true, Envelope: true, RFC822Size: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
			BodySection: []*imap.FetchItemBodySection{whole, header, text},
		}).Collect()
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %d answers, %v", m.Name, len(got), err)
		}
		b := got[0]
		if !bytes.Equal(b.FindBodySection(whole), m.Raw) {
			t.Errorf("%s came otherwise", m.Name)
		}
		if both := slices.Concat(b.FindBodySection(header), b.FindBodySection(text)); !bytes.Equal(both, m.Raw) {
			t.Errorf("%s: header and text are not the message: %.300q", m.Name, both)
		}
		equal(t, m.Name+": size", b.RFC822Size, int64(len(m.Raw)))
		if b.Envelope == nil || b.BodyStructure == nil {
			t.Errorf("%s has no envelope or no structure", m.Name)
			continue
		}
		parts(t, c, m, b)
	}
}

// parts fetches every part that the structure names: its octets are in the
// message, as many as were told.
func parts(t *testing.T, c *imapclient.Client, m messagetest.Sample, b *imapclient.FetchMessageBuffer) {
	t.Helper()
	type part struct {
		path []int
		size uint32
	}
	var leaves []part
	b.BodyStructure.Walk(func(path []int, p imap.BodyStructure) bool {
		if single, ok := p.(*imap.BodyStructureSinglePart); ok && len(leaves) < 20 {
			leaves = append(leaves, part{slices.Clone(path), single.Size})
		}
		return true
	})
	if len(leaves) == 0 {
		t.Errorf("%s has no parts", m.Name)
		return
	}
	var sections []*imap.FetchItemBodySection
	for _, p := range leaves {
		sections = append(sections, &imap.FetchItemBodySection{Peek: true, Part: p.path})
	}
	got, err := c.Fetch(imap.UIDSetNum(b.UID), &imap.FetchOptions{BodySection: sections}).Collect()
	if err != nil || len(got) != 1 {
		t.Fatalf("%s: parts: %d answers, %v", m.Name, len(got), err)
	}
	for i, p := range leaves {
		octets := got[0].FindBodySection(sections[i])
		if uint32(len(octets)) != p.size || !bytes.Contains(m.Raw, octets) {
			t.Errorf("%s: part %s has %d octets, not %d, or others than the message", m.Name, path(p.path), len(octets), p.size)
		}
	}
}

func path(p []int) string { return strings.ReplaceAll(strings.Trim(fmt.Sprint(p), "[]"), " ", ".") }

// What some structures say to go-imap.
func TestStructures(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann)
	c := login(t, s, ann, listen())
	want := map[string]string{
		"alternative":    `multipart/alternative 1 text/plain 2 text/html "Alternative"`,
		"forwarded":      `multipart/mixed 1 text/plain 2 message/rfc822 "Fwd: minutes"`,
		"mixed-pdf":      `multipart/mixed 1 text/plain 2 application/pdf "Invoice 4711"`,
		"name-2231-utf8": `multipart/mixed 1 text/plain 2 application/octet-stream "name-2231-utf8"`,
	}
	some := slices.DeleteFunc(messagetest.All(), func(m messagetest.Sample) bool { return want[m.Name] == "" })
	ok(t, c.Create("some", nil).Wait())
	appendAll(t, c, "some", some)
	must[*imap.SelectData](t)(c.Select("some", nil).Wait())
	var all imap.SeqSet
	all.AddRange(1, 0)
	got := must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(all, &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
	}).Collect())
	equal(t, "answers", len(got), len(want))
	for i, b := range got {
		var said []string
		b.BodyStructure.Walk(func(at []int, p imap.BodyStructure) bool {
			said = append(said, strings.TrimSpace(path(at)+" "+strings.ToLower(p.MediaType())))
			return true
		})
		said = append(said, fmt.Sprintf("%q", b.Envelope.Subject))
		equal(t, some[i].Name, strings.Join(said, " "), want[some[i].Name])
		if b.Envelope.Date.IsZero() || len(b.Envelope.From) != 1 || b.Envelope.From[0].Addr() == "" {
			t.Errorf("%s: envelope %+v", some[i].Name, b.Envelope)
		}
	}
}
