// Package content reads what a message shows to a reader and where it leads: its
// text as it is seen, its links with what stands on them, and its files with what
// is inside. It never fails on content, and all that it keeps is bounded.
//
// RFC 3986 (URIs), RFC 5890 (A-labels).
package content

import (
	"bytes"
	"io"
	"strings"

	"plic/internal/message"
)

// The bounds of what is read, in octets and in numbers.
const (
	maxText  = 256 << 10 // of all text
	maxPart  = 512 << 10 // of one part with text, as it stands in the message
	maxFile  = 8 << 20   // of one file whose inside is looked at
	maxFiles = 100
	maxLinks = 500
	maxParts = 1000
)

// Content is what a message shows.
type Content struct {
	Text   string // what is seen of all parts with text, in UTF-8
	Hidden string // what HTML hides from a reader's eyes
	Links  []Link
	Files  []File

	Plain, HTML bool // there are such parts, other than files
	Images      int  // pictures, inside or from elsewhere
	Forms       int  // of HTML, to be filled in
	Scripts     int
	Cut         bool // a bound cut something off
}

// Read reads a message; body is its octets.
func Read(m *message.Message, body io.ReaderAt) *Content {
	r := reader{body: body, c: &Content{}, seen: map[string]bool{}}
	parts := 0
	m.Walk(func(p *message.Part) bool {
		if parts++; parts > maxParts {
			r.c.Cut = true
			return false
		}
		r.part(p)
		return true
	})
	r.c.Text, r.c.Hidden = r.text.String(), r.hidden.String()
	return r.c
}

type reader struct {
	body         io.ReaderAt
	c            *Content
	text, hidden strings.Builder
	seen         map[string]bool // links
}

func (r *reader) part(p *message.Part) {
	name := p.Filename()
	switch {
	case p.IsMultipart() || p.IsMessage():
	case p.Type == "text" && (p.Subtype == "html" || p.Subtype == "xhtml") && p.Disposition != "attachment":
		r.c.HTML = true
		r.html(r.decoded(p))
	case p.Type == "text" && p.Disposition != "attachment" && (name == "" || p.Subtype == "plain"):
		r.c.Plain = true
		text := r.decoded(p)
		r.say(text)
		r.plainLinks(text)
	default:
		if p.Type == "image" {
			r.c.Images++
		}
		r.file(p, name)
	}
}

// decoded is the text of a part, as far as it is read.
func (r *reader) decoded(p *message.Part) string {
	size := p.Size()
	if size > maxPart {
		size, r.c.Cut = maxPart, true
	}
	raw, err := io.ReadAll(message.DecodeBody(io.NewSectionReader(r.body, p.Body, size), p.Encoding))
	if err != nil && len(raw) == 0 {
		return ""
	}
	return message.DecodeString(string(raw), p.Param("charset"))
}

// say adds text that is seen.
func (r *reader) say(text string) { r.add(&r.text, text) }

func (r *reader) add(to *strings.Builder, text string) {
	if room := maxText - to.Len(); len(text) > room {
		text, r.c.Cut = strings.ToValidUTF8(text[:max(room, 0)], ""), true
	}
	to.WriteString(text)
}

func (r *reader) link(l Link) {
	key := l.URL + "\x00" + l.Text
	if r.seen[key] {
		return
	}
	if len(r.c.Links) == maxLinks {
		r.c.Cut = true
		return
	}
	r.seen[key] = true
	r.c.Links = append(r.c.Links, l)
}

// File is a part that is not shown as text.
type File struct {
	Name  string // as it suggests itself
	Type  string // "application/pdf", as it says
	Size  int64  // as it stands in the message
	Kind  Kind   // what its first octets say
	Inner []string
	// Locked says that an archive cannot be looked into without a password, and
	// Macros that a document brings programs along.
	Locked, Macros bool
}

// Kind is what a file is by its first octets; "" is not known.
type Kind string

// The kinds that are told apart.
const (
	Program  Kind = "program" // of Windows, Linux or macOS
	Zip      Kind = "zip"
	Archive  Kind = "archive" // rar, 7z, cab, ace and others that are not looked into
	Office   Kind = "office"  // the binary formats of Office, and installers
	PDF      Kind = "pdf"
	Picture  Kind = "picture"
	Markup   Kind = "markup" // HTML, SVG
	RTF      Kind = "rtf"
	Shortcut Kind = "shortcut"
	Disk     Kind = "disk" // an image of a disk
)

// file looks at a part that is not shown.
func (r *reader) file(p *message.Part, name string) {
	if len(r.c.Files) == maxFiles {
		r.c.Cut = true
		return
	}
	f := File{Name: name, Type: p.Type + "/" + p.Subtype, Size: p.Size()}
	section := io.NewSectionReader(r.body, p.Body, p.Size())
	head := make([]byte, 512)
	decoded := message.DecodeBody(section, p.Encoding)
	n, _ := io.ReadFull(decoded, head) // a short file is one
	head = head[:n]
	f.Kind = kindOf(head)
	if f.Size <= maxFile && (f.Kind == Zip || f.Kind == Office || f.Kind == Archive) {
		if rest, err := io.ReadAll(io.LimitReader(decoded, maxFile)); err == nil {
			f.inside(append(head, rest...))
		}
	}
	r.c.Files = append(r.c.Files, f)
}

// kindOf goes by the signatures that formats begin with.
func kindOf(head []byte) Kind {
	for _, x := range []struct {
		kind Kind
		with string
	}{
		{Program, "MZ"}, {Program, "\x7fELF"}, {Program, "\xcf\xfa\xed\xfe"}, {Program, "\xca\xfe\xba\xbe"}, {Program, "#!"},
		{Zip, "PK\x03\x04"}, {Zip, "PK\x05\x06"}, {Archive, "Rar!\x1a\x07"}, {Archive, "7z\xbc\xaf\x27\x1c"}, {Archive, "MSCF"},
		{Archive, "\x1f\x8b"}, {Archive, "BZh"}, {Archive, "\xfd7zXZ"}, {Office, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
		{PDF, "%PDF-"}, {Picture, "\x89PNG"}, {Picture, "\xff\xd8\xff"}, {Picture, "GIF8"}, {RTF, "{\\rt"},
		{Shortcut, "L\x00\x00\x00\x01\x14\x02\x00"}, {Disk, "conectix"}, {Disk, "vhdxfile"},
	} {
		if bytes.HasPrefix(head, []byte(x.with)) {
			return x.kind
		}
	}
	if len(head) > 14 && string(head[7:14]) == "**ACE**" {
		return Archive
	}
	start := bytes.ToLower(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"))
	for _, tag := range []string{"<!doctype html", "<html", "<svg", "<script", "<?xml"} {
		if bytes.HasPrefix(start, []byte(tag)) {
			return Markup
		}
	}
	return ""
}

// inside looks into a file that is there as a whole.
func (f *File) inside(all []byte) {
	switch f.Kind {
	case Zip:
		f.Inner, f.Locked = zipNames(all)
		for _, name := range f.Inner {
			if strings.HasSuffix(strings.ToLower(name), "vbaproject.bin") {
				f.Macros = true
			}
		}
	case Office:
		f.Macros = bytes.Contains(all, wide("_VBA_PROJECT")) || bytes.Contains(all, []byte("\x00Attribut"))
	case Archive:
		// RAR 5 has a header of its own for what is locked, RAR 4 a flag.
		f.Locked = bytes.HasPrefix(all, []byte("Rar!\x1a\x07\x01\x00")) && len(all) > 14 && all[12]&0x7f == 0x21 && all[13] == 4
	}
}

// wide is a text as UTF-16 has it.
func wide(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}
