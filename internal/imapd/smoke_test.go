package imapd

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/store"
)

// listen serves on a real socket, if the tool for the test is there.
func (h *house) listen(t *testing.T, tool string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip("there is no " + tool)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, ln, false) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// Python's imaplib as somebody else's client.
func TestPython(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	port := h.listen(t, "python3")
	h.deliver("INBOX", store.Flags{}, eml(t, "simple.eml"), eml(t, "multi.eml"))
	const script = `
import imaplib, ssl, sys, email
m = imaplib.IMAP4('127.0.0.1', int(sys.argv[1]))
ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
m.starttls(ctx)
m.login('alice', 'secret')
assert m.select('INBOX') == ('OK', [b'2'])
assert m.search(None, 'SUBJECT', 'Hello') == ('OK', [b'1'])
typ, data = m.fetch('1:2', '(RFC822)')
assert typ == 'OK' and email.message_from_bytes(data[2][1]).is_multipart(), data
typ, data = m.append('INBOX', '(\\Flagged)', None, b'Subject: from python\r\n\r\nbody\r\n')
assert typ == 'OK' and b'APPENDUID' in data[0], data
assert m.uid('COPY', '1:3', 'Archive')[0] == 'OK'
assert m.store('1', '+FLAGS', '(\\Deleted)')[0] == 'OK'
assert m.expunge() == ('OK', [b'1'])
assert m.create('"a b/c"')[0] == 'OK'
assert any(b'"a b/c"' in x for x in m.list()[1])
assert m.status('Archive', '(MESSAGES)') == ('OK', [b'Archive (MESSAGES 3)'])
assert m.noop()[0] == 'OK' and m.close()[0] == 'OK' and m.logout()[0] == 'BYE'
`
	out, err := exec.Command("python3", "-c", script, port).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// curl reads and sends mail by URL.
func TestCurl(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	port := h.listen(t, "curl")
	message := eml(t, "simple.eml")
	h.deliver("INBOX", store.Flags{}, message)
	url := "imap://127.0.0.1:" + port + "/"
	curl := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command("curl", append([]string{"-sS", "--max-time", "20", "-u", "alice:secret"}, args...)...).Output()
		if err != nil {
			if strings.Contains(err.Error(), "exit status 1") && len(out) == 0 {
				t.Skip("this curl knows no IMAP")
			}
			t.Fatalf("curl %v: %v", args, err)
		}
		return out
	}
	if got := curl(url + "INBOX;UID=1"); string(got) != message {
		t.Errorf("got %q", got)
	}
	file := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	curl("-k", "--ssl-reqd", "-T", file, url+"Sent")
	if got := curl(url+"Sent", "-X", "SEARCH ALL"); !bytes.Contains(got, []byte("* SEARCH 1")) {
		t.Errorf("got %q", got)
	}
	if got := curl(url); !bytes.Contains(got, []byte(`"/" INBOX`)) {
		t.Errorf("got %q", got)
	}
}
