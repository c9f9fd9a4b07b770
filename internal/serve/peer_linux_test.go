package serve_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plic/internal/serve"
)

// loopback makes a network of its own for this goroutine, as root, and gives what
// switches its only interface.
func loopback(t *testing.T) (set func(up bool)) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("needs a network of its own:", err)
	}
	set = func(up bool) {
		t.Helper()
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		lo, err := unix.NewIfreq("lo")
		if err != nil {
			t.Fatal(err)
		}
		if up {
			lo.SetUint16(unix.IFF_UP)
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	return set
}

// Who is gone without a word owes an answer to what is sent to it; who only does not
// read does not.
func TestUnheard(t *testing.T) {
	set := loopback(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if n := serve.Unheard(ours); n != 0 {
		t.Errorf("of who is asked nothing: %v", n)
	}
	ours.Write([]byte("hello"))
	io.ReadFull(theirs, make([]byte, 5))
	for serve.Unheard(ours) != 0 { // until it is acknowledged
		time.Sleep(time.Millisecond)
	}
	set(false)
	ours.Write([]byte("are you there?"))
	for began := time.Now(); serve.Unheard(ours) < 50*time.Millisecond; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("of who is gone: %v", serve.Unheard(ours))
		}
	}
	set(true)
	for began := time.Now(); serve.Unheard(ours) != 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("of who is back: %v", serve.Unheard(ours))
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if n := serve.Unheard(a); n != 0 {
		t.Errorf("of a pipe: %v", n)
	}
}
