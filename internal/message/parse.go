package message

import (
	"bytes"
	"io"
	"strings"
)

// window sizes: a small message fits the first one.
const (
	minWindow = 4 << 10
	maxWindow = 64 << 10
)

// Parse reads a message to its end, once, and gives its structure. It never
// fails on content: the error is the reader's. Offsets count from the start of
// the reader.
func Parse(r io.Reader, l Limits) (*Message, error) {
	return parse(scanner{src: r, buf: make([]byte, minWindow)}, l)
}

// ParseBytes is Parse of a message that is in memory, which is not copied.
func ParseBytes(raw []byte, l Limits) *Message {
	if len(raw) > maxWindow { // lines come in pieces of no more
		m, _ := Parse(bytes.NewReader(raw), l)
		return m
	}
	m, _ := parse(scanner{buf: raw, w: len(raw), eof: true}, l)
	return m
}

func parse(s scanner, l Limits) (*Message, error) {
	p := parser{lim: l.withDefaults(), msg: new(Message), scan: s}
	p.stack, p.head = make([]level, 0, 4), make([]byte, 0, 2<<10)
	p.msg.Root = p.push(nil, "text", "plain", true)
	for !p.done {
		if p.inHeader {
			p.headerLine()
		} else {
			p.bodyChunk()
		}
	}
	if p.scan.err != nil {
		return nil, p.scan.err
	}
	p.msg.Size = p.scan.pos
	p.msg.Text = p.preview.text
	return p.msg, nil
}

// level is a part whose end was not yet seen.
type level struct {
	part     *Part
	message  bool   // root of a message, whose fields are kept
	boundary string // of a multipart that may have more children
	subtype  string // default type of children: "plain", or "rfc822" in a digest
	lines    int    // line ends seen before the body
}

// parser goes through a message line by line; where it is stands in stack,
// never on the goroutine's own.
type parser struct {
	lim      Limits
	msg      *Message
	scan     scanner
	stack    []level
	inHeader bool
	done     bool
	preview  preview
	bounds   map[string]int // open boundaries on the stack, and how often each

	head      []byte // header of the part on top, without what limits cut
	headLines int
	headCut   bool // limits cut the header
	inLine    bool // the header line is not at its end yet
	allHead   int  // octets of all headers
	allLines  int  // lines of all headers
	embedded  int  // messages on the stack
}

// push opens a part whose header starts here; typ and subtype are what it is
// if it does not say.
func (p *parser) push(path []int, typ, subtype string, message bool) *Part {
	part := &Part{Path: path, Offset: p.scan.pos, Type: typ, Subtype: subtype}
	p.msg.Parts++
	if message {
		p.embedded++
	}
	p.stack = append(p.stack, level{part: part, message: message, subtype: "plain"})
	p.inHeader, p.inLine = true, false
	p.head, p.headLines, p.headCut = p.head[:0], 0, false
	return part
}

func (p *parser) top() *level { return &p.stack[len(p.stack)-1] }

func isMessage(part *Part) bool {
	return part.Type == "message" && (part.Subtype == "rfc822" || part.Subtype == "global")
}

// headerLine takes the next line of the header of the part on top, or a piece
// of it if it is longer than the window.
func (p *parser) headerLine() {
	line := p.scan.line()
	if len(line) == 0 {
		p.finish()
		return
	}
	if !p.inLine {
		if p.boundaryLine(line) {
			return
		}
		if n := blankLine(line); n > 0 {
			p.scan.consume(n)
			p.endHeader()
			return
		}
		if !p.belongsToHeader(line) {
			p.endHeader()
			return
		}
		line = p.scan.window()[:len(line)] // looking ahead may have moved it
		p.headLines++
		p.allLines++
	}
	p.inLine = line[len(line)-1] != '\n'
	p.allHead += len(line)
	if len(p.head)+len(line) > p.lim.Header || p.headLines > p.lim.HeaderLines ||
		p.allHead > 8*p.lim.Header || p.allLines > 16*p.lim.HeaderLines {
		p.headCut, p.msg.Truncated = true, true
	}
	if !p.headCut {
		p.head = append(p.head, line...)
	}
	p.scan.consume(len(line))
}

// belongsToHeader tells a line of the header from the start of a body that no
// blank line precedes: a line that is no field belongs to the header only if a
// field follows. So a stray line costs no more than itself, and a forgotten
// blank line costs nothing.
func (p *parser) belongsToHeader(line []byte) bool {
	if (line[0] == ' ' || line[0] == '\t') && p.headLines > 0 {
		return true
	}
	if name, _ := cutName(line); name > 0 {
		return true
	}
	if p.headLines == 0 && p.top().message && // the separator line of an mbox
		(bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))) {
		return true
	}
	if line[len(line)-1] != '\n' || bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	next := p.scan.peek(len(line), 80)
	name, _ := cutName(next)
	for _, c := range next[:name] {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return name > 0
}

// endHeader reads the header that ended here, and decides what its body is.
func (p *parser) endHeader() {
	top := p.top()
	top.part.Body = p.scan.pos
	top.lines = p.scan.lines
	p.inHeader = false
	typed, cut := readHeader(top.part, p.head, top.message)
	if cut {
		p.msg.Truncated = true
	}
	if p.headCut && !typed { // its Content-Type may be in what was cut
		asOctets(top.part)
	}
	switch {
	case top.part.Type == "multipart":
		p.openMultipart(top)
	case isMessage(top.part):
		p.openMessage(top)
	default:
		p.openLeaf(top)
	}
}

func (p *parser) openMultipart(top *level) {
	boundary := strings.TrimRight(param(JoinParams(top.part.Params), "boundary"), " \t\r\n")
	switch {
	case boundary == "":
		asText(top.part)
		p.openLeaf(top)
	case len(boundary) > p.lim.Boundary || len(p.stack) >= p.lim.Depth:
		p.msg.Truncated = true
		asOctets(top.part)
	default:
		top.boundary = boundary
		if p.bounds == nil {
			p.bounds = make(map[string]int)
		}
		p.bounds[boundary]++
		p.keepPreview(true)               // for the case that no part follows
		if top.part.Subtype == "digest" { // RFC 2046 section 5.1.5
			top.subtype = "rfc822"
		}
	}
}

func (p *parser) openMessage(top *level) {
	switch top.part.Encoding {
	case "7bit", "8bit", "binary":
	default: // RFC 2046 section 5.2.1 forbids it; there are no offsets to give
		asOctets(top.part)
		return
	}
	if len(p.stack) >= p.lim.Depth || p.msg.Parts >= p.lim.Parts {
		p.msg.Truncated = true
		asOctets(top.part)
		return
	}
	path := top.part.Path
	if top.message { // a message that is nothing but a message: its body is part 1
		path = append(path[:len(path):len(path)], 1)
	}
	part := top.part // push moves the stack
	part.Embedded = p.push(path, "text", "plain", true)
}

func (p *parser) openLeaf(top *level) {
	if part := top.part; part.Type == "text" && part.Disposition != "attachment" {
		switch part.Subtype {
		case "plain", "html":
			p.keepPreview(part.Subtype == "plain")
		}
	}
}

// keepPreview begins to keep the body of the part on top, if its text may be
// the best so far.
func (p *parser) keepPreview(plain bool) {
	p.preview.begin(p.top().part, p.embedded, plain)
	p.scan.keep = p.preview.room
}

// asText makes a multipart that has no parts readable as what it is.
func asText(part *Part) {
	part.Type, part.Subtype = "text", "plain"
	part.Params = usASCII()
}

// asOctets makes a leaf of a part that is not analysed.
func asOctets(part *Part) { part.Type, part.Subtype = "application", "octet-stream" }

// bodyChunk goes on in a body, preamble or epilogue: to the next line that may
// be a boundary, or through all that the window holds.
func (p *parser) bodyChunk() {
	s := &p.scan
	if len(p.bounds) > 0 && s.atLineStart() {
		if head := s.peek(0, 2); len(head) == 2 && head[0] == '-' && head[1] == '-' {
			line := s.line()
			if p.boundaryLine(line) {
				return
			}
			s.consume(len(line))
			p.collect()
			return
		}
	}
	chunk := s.peek(0, 1)
	if len(chunk) == 0 {
		p.finish()
		return
	}
	chunk = s.window()
	if len(p.bounds) > 0 {
		if i := bytes.Index(chunk, []byte("\n--")); i >= 0 {
			chunk = chunk[:i+1]
		} else if i := bytes.LastIndexByte(chunk, '\n'); i >= 0 && len(chunk)-i <= 2 {
			chunk = chunk[:i+1] // the next line shows less than two octets yet
		}
	}
	s.consume(len(chunk))
	p.collect()
}

// collect hands what was kept for the preview over.
func (p *parser) collect() {
	if p.scan.kept != nil {
		p.preview.add(p.scan.kept)
		p.scan.kept, p.scan.keep = nil, p.preview.room
	}
}

// boundaryLine takes a line if it is a boundary of an open multipart, the
// innermost first: RFC 2046 section 5.1.1. The whole line but for white space
// at its end must be the boundary, so none is taken for a longer one. Lines
// that are none cost the same however deep it is.
func (p *parser) boundaryLine(line []byte) bool {
	if len(p.bounds) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	end, isLast := bytes.CutSuffix(text, []byte("--"))
	whole, last := p.bounds[string(text)] > 0, isLast && p.bounds[string(end)] > 0
	if !whole && !last {
		return false
	}
	for i := len(p.stack) - 1; i >= 0; i-- {
		b := p.stack[i].boundary
		opens, closes := whole && b == string(text), last && b == string(end)
		if b == "" || !opens && !closes {
			continue
		}
		for p.inHeader { // neither blank line nor body
			p.endHeader()
		}
		p.atBoundary(i, closes, len(line))
		return true
	}
	return false
}

// atBoundary closes what is inside the multipart at depth i and begins its
// next part, or its epilogue.
func (p *parser) atBoundary(i int, last bool, length int) {
	s := &p.scan
	p.closeTo(i+1, s.pos-int64(s.newline))
	s.consume(length)
	multi := p.top()
	switch {
	case last:
		p.forget(multi)
	case p.msg.Parts >= p.lim.Parts:
		p.msg.Truncated = true
	default:
		part := multi.part
		p.preview.cancel(part)
		p.scan.keep = 0
		path := append(part.Path[:len(part.Path):len(part.Path)], len(part.Children)+1)
		typ := "text"
		if multi.subtype == "rfc822" {
			typ = "message"
		}
		child := p.push(path, typ, multi.subtype, false)
		part.Children = append(part.Children, child)
	}
}

// closeTo ends all parts deeper than depth. The line end before a boundary is
// not theirs, unless their header ends with it.
func (p *parser) closeTo(depth int, end int64) {
	for len(p.stack) > depth {
		top := p.top()
		part := top.part
		if part.Body > end {
			end = part.Body
		}
		part.End = end
		part.Lines = p.scan.lines - top.lines
		if end < p.scan.pos {
			part.Lines--
		}
		if part.Type == "multipart" && len(part.Children) == 0 {
			if p.msg.Truncated {
				asOctets(part)
			} else {
				asText(part)
			}
		}
		p.forget(top)
		if top.message {
			p.embedded--
		}
		p.preview.end(part)
		p.scan.keep = 0
		p.stack = p.stack[:len(p.stack)-1]
	}
}

// forget closes the boundary of a multipart: nothing more begins with it.
func (p *parser) forget(multi *level) {
	if multi.boundary == "" {
		return
	}
	if p.bounds[multi.boundary]--; p.bounds[multi.boundary] == 0 {
		delete(p.bounds, multi.boundary)
	}
	multi.boundary = ""
}

// finish ends the message.
func (p *parser) finish() {
	for p.inHeader { // a message in a message may begin where all ends
		p.endHeader()
	}
	p.closeTo(0, p.scan.pos)
	p.done = true
}
