package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// limit is the least that any server has to do for a row of the table, with nothing
// else: octets that cross a socket in a number of round trips, what is read from the
// page cache in one sweep, and what is written and synced, as often as it must be.
type limit struct {
	name    string
	trips   int
	sent    int // octets in all
	read    int
	written int // octets in all
	syncs   int
}

// letterOctets is how long a message of the table is on average.
const letterOctets = 6656

// limits are those of rows that are about 1,000 messages, or all of n.
func limits(n int) []limit {
	mail := n * letterOctets
	return []limit{
		{name: "SELECT, warm", trips: 1, sent: 500},
		{name: "FETCH 1:* (UID FLAGS)", trips: 1, sent: 39 * n, read: 2 * n},
		{name: "FETCH 1:* ENVELOPE, warm", trips: 1, sent: 310 * n, read: mail * 55 / 1000}, // the records that hold it
		{name: "bodies: 1000 by 1000 FETCH commands", trips: 1000, sent: 1000 * letterOctets, read: 1000 * letterOctets},
		{name: "bodies: 1000 in one FETCH", trips: 1, sent: 1000 * letterOctets, read: 1000 * letterOctets},
		{name: "SEARCH TEXT", trips: 1, sent: 1000, read: mail * 7 / 100}, // the whole index
		{name: "STORE of a flag on 1000 messages", trips: 1, sent: 40_000, written: 4096, syncs: 1},
		{name: "APPEND of 1000 messages, each acknowledged", trips: 1000, sent: 1000 * letterOctets, written: 1000 * letterOctets, syncs: 1000},
		{name: "MULTIAPPEND of 1000 messages", trips: 1, sent: 1000 * letterOctets, written: 1000 * letterOctets, syncs: 1},
		{name: "COPY of 1000 messages", trips: 1, sent: 100, read: 800_000, written: 800_000, syncs: 1},
		{name: "EXPUNGE of 1000 messages", trips: 1, sent: 15_000, written: 4096, syncs: 1},
		{name: "POP3 RETR of 5000 messages, one by one", trips: 5000, sent: 5000 * letterOctets, read: 5000 * letterOctets},
		{name: "POP3 RETR of 5000 messages, pipelined", trips: 1, sent: 5000 * letterOctets, read: 5000 * letterOctets},
	}
}

// bare does the work of limits.
type bare struct {
	conn net.Conn
	file *os.File
	size int64
	page []byte
}

// tellLimits prints the least time of many tries for each limit.
func tellLimits(ctx context.Context, only words, n, tries int) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	b, err := newBare(ctx, filepath.Join(dir, "octets"))
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Print("| the least that must be done for | ms |\n|---|---|\n")
	for _, l := range limits(n) {
		if !only.in(l.name) {
			continue
		}
		least := time.Duration(1<<63 - 1)
		for range tries {
			began := time.Now()
			if err := b.do(l); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			least = min(least, time.Since(began))
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		fmt.Printf("| %s | %s |\n", l.name, figureOf(float64(least)/float64(time.Millisecond)))
	}
	return nil
}

func newBare(ctx context.Context, path string) (*bare, error) {
	b := &bare{page: make([]byte, 256<<10), size: 64 << 20}
	var err error
	if b.file, err = os.Create(path); err != nil {
		return nil, err
	}
	for at := int64(0); at < b.size; at += int64(len(b.page)) { // it does not grow any more
		if _, err := b.file.WriteAt(b.page, at); err != nil {
			return nil, err
		}
	}
	if err := b.file.Sync(); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			answerBare(c)
		}
	}()
	b.conn, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	return b, err
}

func (b *bare) close() {
	b.conn.Close()
	b.file.Close()
}

// answerBare sends as many octets as it is asked for, again and again.
func answerBare(c net.Conn) {
	defer c.Close()
	page, ask := make([]byte, 64<<10), make([]byte, 8)
	for {
		if _, err := io.ReadFull(c, ask); err != nil {
			return
		}
		for n := binary.BigEndian.Uint64(ask); n > 0; {
			k, err := c.Write(page[:min(n, uint64(len(page)))])
			if err != nil {
				return
			}
			n -= uint64(k)
		}
	}
}

// do does it all once.
func (b *bare) do(l limit) error {
	for at, left := int64(0), l.read; left > 0; {
		k, err := b.file.ReadAt(b.page[:min(left, len(b.page))], at)
		if err != nil {
			return err
		}
		at, left = (at+int64(k))%(b.size-int64(len(b.page))), left-k
	}
	at := int64(0)
	for i := range l.trips {
		if l.syncs > 0 && i < l.syncs {
			for left := l.written / l.syncs; left > 0; {
				k := min(left, len(b.page))
				if _, err := b.file.WriteAt(b.page[:k], at); err != nil {
					return err
				}
				at, left = (at+int64(k))%(b.size-int64(len(b.page))), left-k
			}
			if err := b.file.Sync(); err != nil {
				return err
			}
		}
		if err := b.ask(l.sent / l.trips); err != nil {
			return err
		}
	}
	return nil
}

// ask is one round trip.
func (b *bare) ask(octets int) error {
	if _, err := b.conn.Write(binary.BigEndian.AppendUint64(nil, uint64(octets))); err != nil {
		return err
	}
	for octets > 0 {
		k, err := b.conn.Read(b.page[:min(octets, len(b.page))])
		if err != nil {
			return err
		}
		octets -= k
	}
	return nil
}
