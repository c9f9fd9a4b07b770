package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
)

// echo is a server that answers each line with its name.
func echo(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, name)
			}
		}()
	}
}

func ask(t *testing.T, conn net.Conn) string {
	t.Helper()
	if _, err := fmt.Fprintln(conn, "who?"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestDoorKeepsConnections holds a reload to its word: sessions go on with the
// server they have, new ones get the new server, none is turned away.
func TestDoorKeepsConnections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d, err := openDoor(ctx, "echo", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := d.next()
	go echo(first, "first")
	go d.admit(ctx, nil)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", d.socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	old := dial()
	if got := ask(t, old); got != "first\n" {
		t.Fatalf("the first server says %q", got)
	}
	second := d.next()
	go echo(second, "second")
	if got := ask(t, dial()); got != "second\n" {
		t.Errorf("a new connection is served by %q", got)
	}
	if got := ask(t, old); got != "first\n" {
		t.Errorf("the old connection is served by %q", got)
	}
	first.Close()
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener says %v", err)
	}
	if got := ask(t, dial()); got != "second\n" {
		t.Errorf("after the first is closed: %q", got)
	}
}
