package signs

import (
	"fmt"
	"strings"
	"unicode"

	"plic/internal/lookalike"
	"plic/internal/message"
)

// structure looks at how the message is made.
func (l *look) structure() {
	root := l.m.Parsed.Root
	l.when(l.m.Parsed.Truncated, "MIME_TOO_MUCH", "")
	l.when(root.IsMultipart() && !l.has("mime-version"), "MIME_UNSAID", "")
	if said := strings.ToLower(l.first("content-type")); strings.HasPrefix(said, "multipart/") && !root.IsMultipart() {
		l.hit("MIME_BROKEN", said)
	}
	parts := 0
	l.m.Parsed.Walk(func(p *message.Part) bool {
		parts++
		if p.IsMultipart() && len(p.Children) == 1 && p.Children[0].Size() == 0 && p.Children[0].Lines == 0 {
			l.hit("MIME_BROKEN", "a multipart without parts")
		}
		if p.Type != "text" {
			return parts < 1000
		}
		if charset := p.Param("charset"); charset != "" && !message.KnowsCharset(charset) {
			l.hit("CHARSET_UNKNOWN", charset)
		}
		if p.Encoding == "base64" && p.Disposition != "attachment" && p.Size() > 100 && strings.EqualFold(p.Param("charset"), "us-ascii") {
			l.hit("CODED_TEXT", p.Type+"/"+p.Subtype)
		}
		return parts < 1000
	})
}

// text looks at what is read, and at what is not.
func (l *look) text() {
	c := l.content
	l.when(c.HTML && !c.Plain, "HTML_ONLY", "")
	l.when(c.Forms > 0, "HTML_FORM", "")
	l.when(c.Scripts > 0, "HTML_SCRIPT", "")
	seen, hidden := letters(c.Text), letters(c.Hidden)
	if hidden > 200 && hidden*2 > seen {
		l.hit("HTML_HIDDEN", fmt.Sprintf("%d letters of %d", hidden, seen+hidden))
	}
	switch {
	case seen < 40 && c.Images > 0:
		l.hit("PICTURE_ONLY", fmt.Sprintf("%d pictures, %d letters", c.Images, seen))
	case seen == 0 && len(c.Links)+len(c.Files) == 0:
		l.hit("EMPTY", "")
	case seen < 60 && len(c.Links) > 0 && len(c.Files) == 0 && len(c.Links) < 4:
		l.hit("LINK_ALONE", c.Links[0].URL)
	}
	l.words()
}

func letters(text string) (n int) {
	for _, r := range text {
		if r < 0x80 {
			if r|0x20 >= 'a' && r|0x20 <= 'z' {
				n++
			}
		} else if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// words looks at how words are written.
func (l *look) words() {
	text := l.content.Text[:min(len(l.content.Text), 64<<10)]
	if ascii(text) {
		return
	}
	mixed, broken := "", ""
	mixes, breaks := 0, 0
	for word := range strings.FieldsSeq(text) {
		if ascii(word) {
			continue
		}
		if lookalike.MixedWord(word) {
			mixed, mixes = word, mixes+1
		}
		for i, r := range word {
			if i > 0 && unseen(r) && i+4 < len(word) {
				broken, breaks = word, breaks+1
				break
			}
		}
	}
	l.when(mixes >= 3, "WORDS_MIXED", mixed)
	l.when(breaks >= 5, "WORDS_BROKEN", broken)
}

// unseen are characters without width. Those that join are needed by some scripts
// and by pictures of several.
func unseen(r rune) bool {
	switch r {
	case '\u00ad', '\u200b', '\u2060', '\ufeff', '\u034f', '\u180e':
		return true
	}
	return false
}

// files looks at what is attached.
func (l *look) files() {
	for _, f := range l.content.Files {
		name := strings.ToLower(f.Name)
		switch {
		case f.Kind == "program" || f.Kind == "shortcut" || runs(name):
			l.hit("FILE_PROGRAM", f.Name)
		case isDisk(name) || f.Kind == "disk":
			l.hit("FILE_DISK", f.Name)
		case f.Kind == "markup" || ends(name, "html", "htm", "xhtml", "shtml", "svg", "mht"):
			l.hit("FILE_PAGE", f.Name)
		}
		l.when(disguised(f.Name), "FILE_DISGUISED", f.Name)
		l.when(f.Macros || ends(name, "docm", "xlsm", "pptm", "dotm", "xltm", "xlam", "xll"), "FILE_MACROS", f.Name)
		l.when(f.Locked, "FILE_LOCKED", f.Name)
		document := f.Kind == "zip" && ends(name, "docx", "xlsx", "pptx", "docm", "xlsm", "pptm", "odt", "ods", "odp", "jar", "epub")
		for _, inner := range f.Inner {
			low := strings.ToLower(inner)
			if document && !strings.HasSuffix(name, "jar") {
				break
			}
			l.when(runs(low) || disguised(inner), "FILE_PACKED_PROGRAM", f.Name+": "+inner)
			l.when(isDisk(low), "FILE_PACKED_PROGRAM", f.Name+": "+inner)
			l.when(ends(low, "zip", "rar", "7z", "ace", "gz", "cab"), "FILE_NESTED", f.Name+": "+inner)
			l.when(ends(low, "docm", "xlsm", "pptm"), "FILE_MACROS", f.Name+": "+inner)
		}
	}
}

func ends(name string, with ...string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return false
	}
	have := strings.TrimRight(name[i+1:], " .\u200b")
	for _, w := range with {
		if have == w {
			return true
		}
	}
	return false
}

// runs says that opening a file of such a name runs it.
func runs(name string) bool {
	return ends(name, "exe", "scr", "com", "pif", "bat", "cmd", "vbs", "vbe", "js", "jse", "wsf", "wsh", "ws", "hta", "msi", "msp", "cpl", "jar",
		"ps1", "psm1", "lnk", "reg", "dll", "ocx", "sct", "inf", "scf", "url", "appx", "msix", "application", "gadget", "chm", "hlp", "iqy", "slk", "desktop", "dmg", "pkg", "apk")
}

func isDisk(name string) bool { return ends(name, "iso", "img", "vhd", "vhdx", "udf") }

// disguised says that a name shows another ending than it has: a.pdf.exe, many
// spaces before the ending, or writing that is turned round.
func disguised(name string) bool {
	if strings.ContainsAny(name, "\u202e\u202d\u2066\u2067") || strings.Contains(name, "          ") {
		return true
	}
	low := strings.ToLower(name)
	if !runs(low) && !isDisk(low) && !ends(low, "html", "htm") {
		return false
	}
	return ends(strings.TrimRight(low[:strings.LastIndexByte(low, '.')], " _"), "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "txt", "rtf", "jpg", "jpeg", "png", "gif", "mp3", "mp4", "zip", "csv", "eml")
}
