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
	d, err := openDoor(ctx, "echo", "127.0.0.1:0", newPlaces())
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

// TestDoorHasPlaces sees that who finds no place waits until one is free, and is
// let go when the server stops.
func TestDoorHasPlaces(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d, err := openDoor(ctx, "echo", "127.0.0.1:0", make(places, 2))
	if err != nil {
		t.Fatal(err)
	}
	l := d.next()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.admit(ctx, nil)
	}()
	var clients, sessions []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", d.socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients = append(clients, conn)
	}
	for range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, conn)
	}
	third := make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		third <- conn
	}()
	if len(d.places) != 2 {
		t.Errorf("%d places are taken, want 2", len(d.places))
	}
	select {
	case <-third:
		t.Fatal("a third is let in")
	default:
	}
	sessions[0].Close()
	sessions[0].Close() // twice frees one place only
	conn := <-third
	fmt.Fprintln(conn, "in")
	if line, err := bufio.NewReader(clients[2]).ReadString('\n'); err != nil || line != "in\n" {
		t.Errorf("the third is told %q, %v", line, err)
	}
	late, err := net.Dial("tcp", d.socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	cancel()
	d.socket.Close()
	if _, err := late.Read(make([]byte, 1)); err == nil {
		t.Error("who waits when the server stops is told something")
	}
	<-ended
}
