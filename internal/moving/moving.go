// Package moving brings mail from elsewhere into accounts, and out of them
// again: Maildirs with Dovecot's lists, mbox files, the spool of Cyrus, IMAP
// servers (RFC 9051 and 3501), and files with one message each.
//
// A Source gives folders and letters, a Site takes them. What a Site has taken
// from a source it remembers, letter by letter, in the same commit: an import
// that was cut short goes on where it was, and a second one only brings what is
// new. After each commit the Site reads what it has kept; its sum must be that of
// what was sent.
package moving

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strconv"
	"time"
)

// Letter is a message with what its mailbox knows of it.
type Letter struct {
	Key      uint64    `json:"key"`  // names it in its source, for ever
	Name     string    `json:"name"` // for people
	UID      uint32    `json:"uid,omitempty"`
	Flags    []string  `json:"flags,omitempty"` // "\\Seen" and so on, and keywords
	Internal time.Time `json:"internal"`
	Size     int64     `json:"size"`
	Text     []byte    `json:"-"` // with CRLF line ends
}

// Folder is a mailbox of a source or a site. Names have "/" between levels.
type Folder struct {
	Name        string `json:"name"`
	UIDValidity uint32 `json:"uidvalidity,omitempty"`
	UIDNext     uint32 `json:"uidnext,omitempty"`
	SpecialUse  string `json:"special_use,omitempty"`
	Subscribed  bool   `json:"subscribed,omitempty"`
	NoSelect    bool   `json:"noselect,omitempty"`
	Messages    int    `json:"messages"` // about so many

	place string // where the source has it
}

// Source is mail somewhere else.
type Source interface {
	// Name names the source for ever: what was taken from it is known by it.
	Name() string
	// Folders gives the folders, and tells of those that are not followed or read.
	Folders(ctx context.Context, bad func(*Bad)) ([]Folder, error)
	// Letters gives the letters of a folder that are not known, by rising UID. A
	// *Bad error leaves a letter out, any other ends the sequence.
	Letters(ctx context.Context, f *Folder, known func(key uint64) bool) iter.Seq2[Letter, error]
	Close() error
}

// Bad is a letter, or a folder, that cannot be read.
type Bad struct {
	Name   string
	Err    error
	Letter *Letter // if it could be read, but not kept
}

func (b *Bad) Error() string { return b.Name + ": " + b.Err.Error() }
func (b *Bad) Unwrap() error { return b.Err }

// Site takes letters and gives them.
type Site interface {
	// Open makes a mailbox ready to take letters of a source.
	Open(ctx context.Context, o Order) (State, error)
	// Put keeps letters, all or none.
	Put(ctx context.Context, o Order, letters []Letter) ([]Placed, error)
	// Settle ends the import into a mailbox.
	Settle(ctx context.Context, o Order) error
	Folders(ctx context.Context, account string) ([]Folder, error)
	// Get gives the letters of a mailbox by rising UID; a *Bad error leaves one out.
	Get(ctx context.Context, account, mailbox string) iter.Seq2[Letter, error]
}

// Order says which mailbox takes what.
type Order struct {
	Account string `json:"account"`
	Source  string `json:"source"`
	Folder  Folder `json:"folder"`
}

// State is what a mailbox is ready for.
type State struct {
	// Kept says that letters keep their UIDs, and the mailbox its UIDVALIDITY.
	Kept  bool   `json:"kept"`
	Known []byte `json:"known,omitempty"` // keys of letters that it has, 8 octets each
}

// Placed is a letter that was kept, and the sum of what was read back.
type Placed struct {
	UID uint32 `json:"uid"`
	Sum []byte `json:"sum"`
}

// Digest is a sum over letters, whatever their order.
type Digest [sha256.Size]byte

// Add adds the sum of a letter.
func (d *Digest) Add(sum []byte) {
	carry := 0
	for i := len(d) - 1; i >= 0 && len(sum) == len(d); i-- {
		n := int(d[i]) + int(sum[i]) + carry
		d[i], carry = byte(n), n>>8
	}
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// keyOf names a letter by what its source calls it.
func keyOf(parts ...string) uint64 {
	all := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(all, "%d:%s", len(p), p)
	}
	return binary.BigEndian.Uint64(all.Sum(nil))
}

// errLink says that something is not followed, since it leads elsewhere.
var errLink = errors.New("a symbolic link is not followed: import what it leads to by itself")

// readFile reads a message from a file of its own, and says when that was changed.
func readFile(root *os.Root, name string) (text []byte, changed time.Time, err error) {
	info, err := root.Stat(name) // opening a pipe would wait
	if err != nil {
		return nil, changed, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLetter {
		return nil, changed, fmt.Errorf("no plain file of at most %d octets", int64(maxLetter))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, changed, err
	}
	defer f.Close()
	in := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead)) // it will hardly have grown
	_, err = in.ReadFrom(io.LimitReader(f, maxLetter))
	return crlf(in.Bytes()), info.ModTime(), err
}

// namesIn lists a directory; one that is not there has nothing in it.
func namesIn(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// crlf gives a text CRLF line ends.
func crlf(text []byte) []byte {
	bare := 0
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			bare++
		}
	}
	if bare == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+bare)
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// number is 0 for what is none.
func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
