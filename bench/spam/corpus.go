package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

// letter is a message of the corpus, with what can be known of how it came.
type letter struct {
	file string
	spam bool
	text []byte // with CRLF
	env  mail.Envelope
	at   time.Time
}

// read reads a corpus, and parts it: by a hash of their content, so that whoever
// measures again has the same halves. Copies of a message count once.
func read(dir string, count int) (teach, test []*letter, err error) {
	var all [2][]*letter
	seen := map[[32]byte]bool{}
	for _, group := range []string{"easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"} {
		names, err := filepath.Glob(filepath.Join(dir, group, "*.txt"))
		if err != nil {
			return nil, nil, err
		}
		if len(names) == 0 {
			return nil, nil, fmt.Errorf("there are no messages in %s", filepath.Join(dir, group))
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, nil, err
			}
			l := parse(text)
			sum := sha256.Sum256(l.text)
			if seen[sum] {
				continue
			}
			seen[sum] = true
			l.file, l.spam = group+"/"+filepath.Base(name), strings.HasPrefix(group, "spam")
			class := 0
			if l.spam {
				class = 1
			}
			all[class] = append(all[class], l)
		}
	}
	for _, class := range all {
		slices.SortFunc(class, func(a, b *letter) int {
			x, y := sha256.Sum256(a.text), sha256.Sum256(b.text)
			return bytes.Compare(x[:], y[:])
		})
		half := len(class) / 2
		n := half
		if count > 0 {
			n = min(half, count)
		}
		if n == 0 {
			return nil, nil, errors.New("a class has no two messages, one to learn and one to judge")
		}
		teach, test = append(teach, class[:n]...), append(test, class[half:half+n]...)
	}
	return teach, test, nil
}

var received = regexp.MustCompile(`(?i)^from\s+(\S+)\s+\(([^\[\]()]*)\[([0-9a-f.:]+)\]`)

func parse(text []byte) *letter {
	if bytes.HasPrefix(text, []byte("From ")) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	l := &letter{text: text, at: time.Date(2002, 9, 1, 0, 0, 0, 0, time.UTC)}
	l.env.Origin = mail.Origin{Service: "smtp", Remote: netip.MustParseAddrPort("192.0.2.1:25"), Name: "mx.example.org", Helo: "mx.example.org"}
	m, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		return l
	}
	if from, err := mail.ParseAddress(strings.Trim(m.Root.Get("Return-Path"), "<> ")); err == nil {
		l.env.From = from
	}
	first := true
	for _, f := range m.Root.Header {
		if !strings.EqualFold(f.Name, "Received") {
			continue
		}
		value := f.Text()
		if i := strings.LastIndexByte(value, ';'); i >= 0 && first {
			if at, err := message.ParseDate(value[i+1:]); err == nil {
				l.at, first = at, false
			}
		}
		hop := received.FindStringSubmatch(value)
		if hop == nil {
			continue
		}
		addr, err := netip.ParseAddr(hop[3])
		if err != nil || addr.IsPrivate() || addr.IsLoopback() {
			continue
		}
		l.env.Origin.Helo, l.env.Origin.Name = hop[1], strings.TrimSuffix(strings.TrimSpace(hop[2]), ".")
		l.env.Origin.Remote = netip.AddrPortFrom(addr, 25)
		break
	}
	return l
}
