package moving

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// cyrusHeader is what cyrus.header says.
type cyrusHeader struct {
	name  string   // "user.ann.Sent" or "example.org!user.ann"; from version 3.6 on
	id    string   // the number of the mailbox, likewise
	kind  string   // "e" for mail, likewise
	words []string // user flags by number
}

const maxCyrusHeader = 1 << 20

// readCyrusHeader reads a cyrus.header: three lines that are always the same, then
// up to version 3.4 a line with the root of the quota and one with the user flags,
// from 3.6 on a list of names and values.
func readCyrusHeader(root *os.Root, dir string) (h cyrusHeader, err error) {
	f, err := root.Open(path.Join(dir, "cyrus.header"))
	if err != nil {
		return h, err
	}
	defer f.Close()
	in := bufio.NewReader(io.LimitReader(f, maxCyrusHeader))
	for range 3 {
		if _, err := in.ReadString('\n'); err != nil {
			return h, fmt.Errorf("cyrus.header: %w", err)
		}
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		return h, fmt.Errorf("cyrus.header: %w", err)
	}
	d := &dlist{string(rest)}
	if !strings.HasPrefix(d.text, "%(") {
		_, flags, _ := strings.Cut(d.text, "\n")
		flags, _, _ = strings.Cut(flags, "\n")
		h.words = strings.Split(flags, " ")
		return h, nil
	}
	d.text = d.text[2:]
	for !d.take(")") {
		name, _ := d.value(0)
		value, list := d.value(0)
		if d.text == "" {
			return h, errors.New("cyrus.header: it ends early")
		}
		switch name {
		case "N":
			h.name = value
		case "I":
			if h.id = value; strings.ContainsAny(value, "/\\") || value == ".." { // it names directories
				return h, errors.New("cyrus.header: the number of the mailbox is none")
			}
		case "T":
			h.kind = value
		case "U":
			h.words = list
		}
	}
	return h, nil
}

// user gives whose mailbox of mail it is, "user.ann" or "example.org!user.ann".
func (h *cyrusHeader) user() (string, bool) {
	domain, name, ok := strings.Cut(h.name, "!")
	if !ok {
		domain, name = "", h.name
	}
	rest, ok := strings.CutPrefix(name, "user.")
	if !ok || rest == "" || h.kind != "e" && h.kind != "" {
		return "", false
	}
	user, _, _ := strings.Cut(rest, ".")
	if user = "user." + user; domain != "" {
		user = domain + "!" + user
	}
	return user, true
}

// dlist is a list as Cyrus writes them: atoms, "quoted strings", {4+} literals,
// (lists) and %(NAME value) lists of pairs.
type dlist struct{ text string }

const maxDlistDepth = 16

func (d *dlist) take(token string) (ok bool) {
	d.text = strings.TrimLeft(d.text, " \r\n")
	d.text, ok = strings.CutPrefix(d.text, token)
	return ok
}

// value reads one value: an atom or string, or the values of a list.
func (d *dlist) value(depth int) (text string, list []string) {
	switch {
	case depth > maxDlistDepth:
		d.text = ""
	case d.take("%(") || d.take("("):
		for !d.take(")") && d.text != "" {
			item, _ := d.value(depth + 1)
			list = append(list, item)
		}
	case d.take(`"`):
		return d.quoted(), nil
	case d.take("{"):
		var size int
		head, rest, _ := strings.Cut(d.text, "\n")
		if _, err := fmt.Sscanf(head, "%d", &size); err != nil || size < 0 || size > len(rest) {
			d.text = ""
			return "", nil
		}
		text, d.text = rest[:size], rest[size:]
	default:
		end := strings.IndexAny(d.text, " ()\r\n")
		if end <= 0 {
			d.text = ""
			return "", nil
		}
		if text, d.text = d.text[:end], d.text[end:]; text == "NIL" {
			text = ""
		}
	}
	return text, list
}

func (d *dlist) quoted() string {
	var b strings.Builder
	for i := 0; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case c == '"':
			d.text = d.text[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(d.text):
			i++
			b.WriteByte(d.text[i])
		default:
			b.WriteByte(c)
		}
	}
	d.text = ""
	return ""
}

// readCyrusUses reads the special uses in annotations.db, by the numbers of their
// mailboxes. It is of the format "twoskip": records in the order of their keys,
// each with the places of the next one; of the two that it may have, that counts
// which was written last and is complete.
func readCyrusUses(file string) (map[string]string, error) {
	uses := map[string]string{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return uses, nil
	}
	if err != nil {
		return nil, err
	}
	const head, dummy = 64, 64
	if len(text) < head || !strings.HasPrefix(string(text), "\xa1\x02\x8b\x0dtwoskip file") {
		return uses, nil // of another format: names must do
	}
	end := min(uint64(len(text)), binary.BigEndian.Uint64(text[48:]))
	for at, steps := uint64(dummy), 0; at != 0; steps++ {
		r, ok := readTwoskip(text, at, end)
		if !ok || steps > len(text)/24 {
			return nil, fmt.Errorf("%s: damaged at %d", file, at)
		}
		if key := strings.Split(r.key, "\x00"); len(key) >= 3 && key[1] == "/specialuse" && len(r.value) > 8 {
			if size := binary.BigEndian.Uint32([]byte(r.value)); size <= uint32(len(r.value)-8) {
				uses[key[0]], _, _ = strings.Cut(r.value[8:8+size], " ")
			}
		}
		at = r.next
	}
	return uses, nil
}

// twoskip is a record of such a file.
type twoskip struct {
	key, value string
	next       uint64
}

func readTwoskip(text []byte, at, end uint64) (r twoskip, ok bool) {
	if at > end || end-at < 24 || at%8 != 0 {
		return r, false
	}
	b := text[at:end]
	kind, level := b[0], uint64(b[1])
	key, value := uint64(binary.BigEndian.Uint16(b[2:])), uint64(binary.BigEndian.Uint32(b[4:]))
	from := uint64(8)
	if key == 1<<16-1 { // longer ones stand behind
		key, from = binary.BigEndian.Uint64(b[from:]), from+8
	}
	if value == 1<<32-1 {
		value, from = binary.BigEndian.Uint64(b[from:]), from+8
	}
	body := from + 8*(level+1) + 8
	size := uint64(len(b))
	if kind == '-' { // a record that was removed has only the next one
		if size < 16 {
			return r, false
		}
		r.next = binary.BigEndian.Uint64(b[8:])
		return r, true
	}
	if kind != '+' && kind != '=' || body > size || key > size-body || value > size-body-key {
		return r, false
	}
	for _, next := range []uint64{binary.BigEndian.Uint64(b[from:]), binary.BigEndian.Uint64(b[from+8:])} {
		if next < end {
			r.next = max(r.next, next)
		}
	}
	r.key, r.value = string(b[body:body+key]), string(b[body+key:body+key+value])
	return r, true
}
