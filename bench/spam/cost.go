package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"plic/internal/dkim"
)

const (
	client   = "192.0.2.1" // who brings the messages
	author   = "ann@there.test"
	reader   = "bob@here.test"
	octets   = 20 << 10
	lessons  = 120 // of each class, which the words are learnt from
	messages = 100 // of one turn
	turns    = 3
)

// judged is somebody whose processor time is measured.
type judged struct {
	name string
	pid  int
	part int // of all messages one in so many: who takes long
	send func(text []byte) error
}

// cost measures what a message of 20 KiB takes of the processor, in all processes of
// those who judge it: with a signature, SPF and DMARC of its author's domain, whose
// answers are known, and words that were learnt. Of plic it is the difference between
// two servers that accept it by SMTP, one of which judges; the others get it as their
// clients give it to them.
func cost(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	zone, err := authorZone(key)
	if err != nil {
		return err
	}
	defer zone.Close()
	sign := &dkim.Signer{Domain: "there.test", Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
	place, err := os.MkdirTemp("", "plic-cost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(place, "plic"), "./cmd/plic").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	var all []judged
	defer func() {
		for _, j := range all {
			syscall.Kill(j.pid, syscall.SIGTERM)
		}
	}()
	for _, start := range []func() (judged, error){
		func() (judged, error) { return startPlic(ctx, place, zone.Addr(), false) },
		func() (judged, error) { return startPlic(ctx, place, zone.Addr(), true) },
		func() (judged, error) { return rspamdWith(ctx, zone.Addr()) },
		func() (judged, error) { return spamdWith(ctx) },
	} {
		j, err := start()
		if err != nil {
			return err
		}
		all = append(all, j)
	}
	took := make([][]float64, len(all))
	for turn := range turns + 1 { // the first is to get warm
		texts, err := letters(sign, turn)
		if err != nil {
			return err
		}
		for i, j := range all {
			ms, err := j.takes(texts[:messages/j.part])
			if err != nil {
				return fmt.Errorf("%s: %w", j.name, err)
			}
			if turn > 0 {
				took[i] = append(took[i], ms)
			}
		}
	}
	fmt.Printf("%d messages of %d octets, the median of %d turns, and all of them\n\n| | processor for a message |\n|---|---:|\n", messages, octets, turns)
	for i, j := range all {
		fmt.Printf("| %s | %.2f ms %.2f |\n", j.name, median(took[i]), took[i])
	}
	fmt.Printf("| what plic's chain adds | %.2f ms |\n", median(took[1])-median(took[0]))
	return nil
}

// takes is what a message takes of its processor, in milliseconds.
func (j judged) takes(texts [][]byte) (float64, error) {
	before, err := processor(j.pid)
	if err != nil {
		return 0, err
	}
	for _, text := range texts {
		if err := j.send(text); err != nil {
			return 0, err
		}
	}
	after, err := processor(j.pid)
	return float64(after-before) / float64(time.Millisecond) / float64(len(texts)), err
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// letters are different messages for one turn.
func letters(sign *dkim.Signer, turn int) (texts [][]byte, err error) {
	for i := range messages {
		text := write(uint64(turn*messages+i), false)
		m, err := dkim.Read(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return nil, err
		}
		field, err := sign.Sign(m)
		if err != nil {
			return nil, err
		}
		texts = append(texts, append(field, text...))
	}
	return texts, nil
}

// write makes up a message of words that have the lengths and the frequencies of
// words; those of spam are partly others.
func write(seed uint64, spam bool) []byte {
	r := mathrand.New(mathrand.NewPCG(seed, 7))
	word := func() string {
		n := int(float64(4000) * r.Float64() * r.Float64() * r.Float64())
		if spam {
			n += 1500
		}
		w := mathrand.New(mathrand.NewPCG(uint64(n), 1))
		text := make([]byte, 2+w.IntN(8))
		for i := range text {
			text[i] = "etaoinshrdlucmfwypvbgkqjxz"[int(26*w.Float64()*w.Float64())]
		}
		return string(text)
	}
	var plain, html strings.Builder
	for plain.Len() < octets/3 {
		for range 11 {
			w := word()
			plain.WriteString(w + " ")
			html.WriteString(w + " ")
		}
		plain.WriteString("\r\n")
		html.WriteString("<br><a href=\"https://www.there.test/" + word() + "\">" + word() + "</a>\r\n")
	}
	head := fmt.Sprintf("From: Ann Smith <%s>\r\nTo: Bob <%s>\r\nSubject: %s %s %s\r\nDate: %s\r\nMessage-ID: <%d.%d@there.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n",
		author, reader, word(), word(), word(), time.Now().Format(time.RFC1123Z), seed, time.Now().UnixNano())
	text := head + "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + plain.String() + "\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>" + html.String()
	for len(text) < octets-100 {
		text += word() + "<br>\r\n"
	}
	return []byte(text + "</body></html>\r\n--b--\r\n")
}

// processor is the time that a process and all below it have taken, with those that
// have ended.
func processor(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		ticks  int64
	}
	all := map[int]process{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		id, _ := strconv.Atoi(strings.Split(name, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 15 {
			continue
		}
		var p process
		p.parent, _ = strconv.Atoi(f[1])
		for _, x := range f[11:15] { // utime, stime, and those of children that were waited for
			n, _ := strconv.ParseInt(x, 10, 64)
			p.ticks += n
		}
		all[id] = p
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	var total int64
	for id, p := range all {
		for at := id; at > 1; at = all[at].parent {
			if at == pid {
				total += p.ticks
				break
			}
		}
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}
