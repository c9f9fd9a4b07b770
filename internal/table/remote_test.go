package table_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"plic/internal/table"
	"plic/internal/table/tabletest"
)

// peer is a program that has a table, by one of the protocols.
type peer struct {
	network, address string
	answer           func(p *peer, r *bufio.Reader, w io.Writer) error
	pairs            map[string]string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

func (p *peer) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen(p.network, p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.l, p.address = l, l.Addr().String()
	p.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, conn)
			p.mu.Unlock()
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); p.answer(p, r, conn) == nil; {
				}
			}()
		}
	}()
}

func (p *peer) stop(*testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func socketmap(p *peer, r *bufio.Reader, w io.Writer) error {
	size, err := r.ReadString(':')
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(size, ":"))
	text := make([]byte, n+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	name, key, _ := strings.Cut(string(text[:n]), " ")
	reply := "NOTFOUND "
	if v, ok := p.pairs[key]; ok && name == "virtual" {
		reply = "OK " + v
	}
	_, err = fmt.Fprintf(w, "%d:%s,", len(reply), reply)
	return err
}

func tcpTable(p *peer, r *bufio.Reader, w io.Writer) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	key, err := url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(line, "get "), "\n"))
	if err != nil {
		return err
	}
	reply := "500 none\n"
	if v, ok := p.pairs[key]; ok {
		reply = "200 " + url.PathEscape(v) + "\n"
	}
	_, err = io.WriteString(w, reply)
	return err
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		peer *peer
		spec func(address string) string
	}{
		"socketmap over TCP": {&peer{network: "tcp", address: "127.0.0.1:0", answer: socketmap}, func(a string) string { return "socketmap:inet:" + a + ":virtual" }},
		"socketmap":          {&peer{network: "unix", address: filepath.Join(t.TempDir(), "s"), answer: socketmap}, func(a string) string { return "socketmap:unix:" + a + ":virtual" }},
		"tcp":                {&peer{network: "tcp", address: "127.0.0.1:0", answer: tcpTable}, func(a string) string { return "tcp:" + a }},
	} {
		t.Run(name, func(t *testing.T) {
			running := false
			tabletest.Suite{
				Open: func(t *testing.T, pairs map[string]string) table.Table {
					if running {
						c.peer.stop(t)
					}
					running = true
					c.peer.pairs = map[string]string{}
					for k, v := range pairs {
						c.peer.pairs[strings.ToLower(k)] = v
					}
					c.peer.start(t)
					tab, err := table.Open(c.spec(c.peer.address), table.Options{})
					if err != nil {
						t.Fatal(err)
					}
					if len(pairs) > 0 { // a connection that is kept, and breaks with the rest
						tab.Lookup(t.Context(), "warm")
					}
					return tab
				},
				Break: c.peer.stop, Mend: c.peer.start,
			}.Run(t)
			c.peer.stop(t)
		})
	}
}

// What is no answer is trouble, never "no such key".
func TestRemoteAnswers(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"4:OK x,": "x", "3:OK ,": "", "9:NOTFOUND ,": "none", "8:NOTFOUND,": "none", "9:TEMP busy,": "error", "8:TIMEOUT ,": "error", "7:PERM no,": "error", "0:,": "error",
		"4:OK x;": "error", "x": "error", ":,": "error", "9999999:": "error", "200000:": "error", "4:OK": "error", "": "error",
	} {
		remote(t, "socketmap:inet:%s:m", reply, want)
	}
	for reply, want := range map[string]string{
		"200 a%20b\n": "a b", "200 \r\n": "", "500 none\n": "none", "400 busy\n": "error", "200 %\n": "error", "200 %zz\n": "error", "x\n": "error", "200 x": "error", "": "error",
		"200 " + strings.Repeat("x", 9000) + "\n": strings.Repeat("x", 9000), "200 " + strings.Repeat("x", 200_000) + "\n": "error",
	} {
		remote(t, "tcp:%s", reply, want)
	}
	for _, bad := range []string{"socketmap:x", "socketmap:inet:a:b", "socketmap:inet:127.0.0.1:25:", "socketmap:pipe:x:y", "tcp:host", "tcp:"} {
		if _, err := table.Open(bad, table.Options{}); err == nil {
			t.Errorf("%q is opened", bad)
		}
	}
}

func remote(t *testing.T, spec, reply, want string) {
	t.Helper()
	p := &peer{network: "tcp", address: "127.0.0.1:0", answer: func(_ *peer, r *bufio.Reader, w io.Writer) error {
		if _, err := r.ReadByte(); err != nil {
			return err
		}
		io.WriteString(w, reply)
		return io.EOF
	}}
	p.start(t)
	defer p.stop(t)
	tab, err := table.Open(fmt.Sprintf(spec, p.address), table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, found, err := tab.Lookup(t.Context(), "key")
	switch {
	case err != nil:
		got = "error"
	case !found:
		got = "none"
	}
	if got != want {
		t.Errorf("%.40q: %.40q, %v; want %.40q", reply, got, err, want)
	}
}
