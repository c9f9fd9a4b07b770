package maildir

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plic/internal/mail"
	"plic/internal/maildir"
	"plic/internal/store/engine"
)

// message is a file of a message. Its name is a base, which stays, and behind a
// colon the flags, which do not.
type message struct {
	base  string
	info  string // ":2,FS", or "" in new
	fresh bool   // in new, not in cur
	uid   engine.UID
	size  int64 // of the file when it was counted how long it is with CRLF, and
	wire  int64 // that; 0 if it was not
}

// dir is where the file is.
func (m *message) dir() string {
	if m.fresh {
		return "new"
	}
	return "cur"
}

func (m *message) name() string { return m.base + m.info }

// parseName takes the name of a file apart; false if it is no message's.
func parseName(name string, fresh bool) (message, bool) {
	if name == "" || name[0] == '.' {
		return message{}, false
	}
	base, info := maildir.Cut(name)
	return message{base: base, info: info, fresh: fresh}, base != ""
}

// keyOf is the key of a message: of what is unique in its name. Sizes behind it
// may be put right by others.
func keyOf(base string) uint64 {
	if i := strings.IndexByte(base, ','); i > 0 {
		base = base[:i]
	}
	sum := sha256.Sum256([]byte(base))
	return binary.BigEndian.Uint64(sum[:])
}

// sizes reads S= and W= of a base: the size of the file, and that with CRLF line
// ends; -1 if it is not said.
func sizes(base string) (file, wire int64) {
	file, wire = -1, -1
	_, rest, _ := strings.Cut(base, ",")
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n < 0:
		case name == "S":
			file = n
		case name == "W":
			wire = n
		}
	}
	return file, wire
}

// newBase makes the base of a new file.
func (f *Format) newBase(id mail.ID, file, wire int64) string {
	return fmt.Sprintf("%d.M%sP%d.%s,S=%d,W=%d", f.o.Now().Unix(), id, f.o.PID, f.o.Host, file, wire)
}

// The flags of the store: the bit of a letter of Maildir is where the letter is in
// maildir.Letters.
const (
	seen engine.Flags = 1 << iota
	answered
	flagged
	deleted
	draft
)

// keywordShift is where keywords begin in flags.
const keywordShift = 8

// flags reads the flags of a name; keyword n is the letter 'a'+n.
func (m *message) flags() (f engine.Flags) {
	letters, _ := maildir.Info(m.info)
	for i := range len(letters) {
		c := letters[i]
		if c >= 'a' && c <= 'z' {
			f |= 1 << (keywordShift + int(c-'a'))
		}
		if n := strings.IndexByte(maildir.Letters, c); n >= 0 {
			f |= 1 << n
		}
	}
	return f
}

// withFlags is the info with flags added and removed; letters that mean nothing
// here stay.
func withFlags(info string, add, remove engine.Flags) string {
	mine, others := maildir.Info(info)
	set := map[byte]bool{}
	for i := range len(mine) {
		set[mine[i]] = true
	}
	change := func(f engine.Flags, to bool) {
		for n := range maildir.Letters {
			if f&(1<<n) != 0 {
				set[maildir.Letters[n]] = to
			}
		}
		for n := range maildir.MaxKeywords {
			if f&(1<<(keywordShift+n)) != 0 {
				set['a'+byte(n)] = to
			}
		}
	}
	change(remove, false)
	change(add, true)
	var out []byte
	for c, on := range set {
		if on {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return ":2," + string(out) + others
}

// inOrder sorts messages as they came, as far as names tell it.
func inOrder(all []*message) {
	type timed struct {
		at int64
		*message
	}
	list := make([]timed, len(all))
	for i, m := range all {
		list[i] = timed{maildir.Arrived(m.base), m}
	}
	slices.SortFunc(list, func(a, b timed) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.base, b.base)) })
	for i := range list {
		all[i] = list[i].message
	}
}
