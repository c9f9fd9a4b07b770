// Package messagetest is a collection of messages of many kinds, right and
// wrong, for tests of whatever takes messages in: structures, charsets, file
// names, broken MIME and broken headers, and some that are large or deep.
package messagetest

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed testdata/*.eml
var files embed.FS

// Sample is a message as it came in, and what it is called.
type Sample struct {
	Name string
	Raw  []byte
}

// All gives every sample, the generated ones last. The slices are the caller's
// own. Some samples have bare line feeds or carriage returns, NUL octets, or
// nothing at all: see Clean.
func All() []Sample {
	var all []Sample
	entries, err := fs.ReadDir(files, "testdata")
	if err != nil {
		panic(err) // it is in the program
	}
	for _, e := range entries {
		raw, err := fs.ReadFile(files, "testdata/"+e.Name())
		if err != nil {
			panic(err)
		}
		all = append(all, Sample{strings.TrimSuffix(e.Name(), ".eml"), raw})
	}
	return append(all,
		Sample{"big-attachment", bigAttachment(10 << 20)},
		Sample{"big-header", bigHeader()},
		Sample{"deep-multipart", Nested(150)},
		Sample{"deep-messages", NestedMessages(150)},
		Sample{"many-parts", ManyParts(500)},
		Sample{"many-received", manyReceived()},
		Sample{"long-lines", longLines()},
	)
}

// Clean says that a sample may go through SMTP as it is: there is something in
// it, all lines end in CRLF, none is longer than 998 octets, and there is no
// NUL.
func (s Sample) Clean() bool {
	if len(s.Raw) == 0 || !bytes.HasSuffix(s.Raw, []byte("\r\n")) || bytes.IndexByte(s.Raw, 0) >= 0 {
		return false
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(s.Raw, []byte("\r\n")), []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
			return false
		}
	}
	return true
}

const start = "From: Alice Example <alice@example.org>\r\nTo: bob@example.net\r\n" +
	"Date: Mon, 02 Mar 2026 10:15:30 +0100\r\nMIME-Version: 1.0\r\nSubject: "

// bigAttachment has an attachment of so many octets.
func bigAttachment(size int) []byte {
	data := make([]byte, size)
	state := uint32(1)
	for i := range data { // noise that is the same each time
		state = state*1664525 + 1013904223
		data[i] = byte(state >> 24)
	}
	var b bytes.Buffer
	b.WriteString(start + "ten megabytes\r\nContent-Type: multipart/mixed; boundary=big\r\n\r\n" +
		"--big\r\n\r\nThe film.\r\n--big\r\nContent-Type: video/mp4; name=film.mp4\r\n" +
		"Content-Disposition: attachment; filename=film.mp4\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n--big--\r\n")
	return b.Bytes()
}

// bigHeader has a To field of some thousand addresses.
func bigHeader() []byte {
	var b bytes.Buffer
	b.WriteString(start + "big header\r\nCc: first@example.org")
	for i := range 3000 {
		fmt.Fprintf(&b, ",\r\n\t\"Person, No. %d\" <person%d@example.org>", i, i)
	}
	b.WriteString("\r\nX-After: still a field\r\n\r\nbody\r\n")
	return b.Bytes()
}

// Nested is a multipart in a multipart, so many levels deep.
func Nested(depth int) []byte {
	var b bytes.Buffer
	b.WriteString(start + "nested\r\n")
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("\r\ninnermost\r\n")
	for i := depth - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\r\n", i)
	}
	return b.Bytes()
}

// NestedMessages is a message in a message, so many levels deep.
func NestedMessages(depth int) []byte {
	var b bytes.Buffer
	b.WriteString(start + "messages\r\n")
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: message/rfc822\r\n\r\nSubject: level %d\r\n", i)
	}
	b.WriteString("\r\ninnermost\r\n")
	return b.Bytes()
}

// ManyParts is a multipart of so many parts.
func ManyParts(n int) []byte {
	var b bytes.Buffer
	b.WriteString(start + "many parts\r\nContent-Type: multipart/mixed; boundary=p\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--p\r\n\r\npart %d\r\n", i+1)
	}
	b.WriteString("--p--\r\n")
	return b.Bytes()
}

func manyReceived() []byte {
	var b bytes.Buffer
	for i := range 60 {
		fmt.Fprintf(&b, "Received: from h%d.example (h%d.example [192.0.2.%d])\r\n\tby h%d.example with ESMTPS id %d;\r\n"+
			"\tMon, 2 Mar 2026 10:15:%02d +0100\r\n", i, i, i, i+1, i, 59-i%60)
	}
	b.WriteString(start + "went round\r\n\r\nhops\r\n")
	return b.Bytes()
}

func longLines() []byte {
	line := strings.Repeat("all in one line ", 20000)
	return []byte(start + "long lines\r\nX-Long: " + line + "\r\n\r\n" + line + "\r\n" + line + "\r\n")
}
