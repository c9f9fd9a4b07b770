package peers

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestPostfixIntoDovecot sees that the two work together as the benchmarks and
// the little internet use them.
func TestPostfixIntoDovecot(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "plic-peers-") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &Dovecot{Dir: dir + "/d", Address: "127.77.0.1", Password: "secret", Format: "sdbox"}
	Started(t, d.Start(t.Context()))
	t.Cleanup(func() { d.Stop() })
	p := &Postfix{Dir: dir + "/p", Address: "127.77.0.2", Hostname: "mx.peer.test", Settings: `virtual_mailbox_domains = peer.test
virtual_mailbox_maps = static:all
virtual_transport = lmtp:inet:127.77.0.1:24`}
	err = p.Start(t.Context())
	t.Log(p.Log())
	Started(t, err)
	t.Cleanup(func() { p.Stop() })

	conn, err := net.Dial("tcp", "127.77.0.2:25")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, line := range []string{"", "HELO me", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@peer.test>", "DATA", "Subject: x\r\n\r\nhello\r\n.", "QUIT"} {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		if reply, _ := r.ReadString('\n'); !strings.HasPrefix(reply, "2") && !strings.HasPrefix(reply, "354") {
			t.Fatalf("%q was answered %q\n%s", line, reply, p.Log())
		}
	}
}
