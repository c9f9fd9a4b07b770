//go:build unix

package pipe

import (
	"context"
	"crypto/rand"
	"io"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/table"
)

func TestRun(t *testing.T) {
	dir := folder(t)
	list, err := table.OpenAll([]string{table.Inline(map[string]string{
		"good":    "user=" + runner(t) + " " + script(t, dir, `tr a-z A-Z; echo "$1 $2 $3 $RECIPIENT $SENDER"; [ "$2" != fail ]`) + " ${domain}",
		"endless": "user=" + runner(t) + " /usr/bin/yes",
		"slow":    "user=" + runner(t) + " /bin/sleep 60",
		"absent":  "user=" + runner(t) + " /nonexistent",
	})}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Program: list.Lookup})
	from, to := mail.MustAddress("x@there.test"), mail.MustAddress("ann@here.test")
	run := func(name string, args ...string) (string, bool, error) {
		out, ok, err := p.Run(t.Context(), name, args, from, to, []byte("text\n"))
		return string(out), ok, err
	}
	if out, ok, err := run("good", "one two", "$HOME;"); out != "TEXT\nhere.test one two $HOME; ann@here.test x@there.test\n" || !ok || err != nil {
		t.Errorf("it says %q, %v, %v", out, ok, err)
	}
	if _, ok, err := run("good", "fail"); ok || err != nil {
		t.Errorf("a failure is %v, %v", ok, err)
	}
	for _, name := range []string{"absent", "none", "../good"} {
		if _, ok, err := run(name); ok || err == nil {
			t.Errorf("%s ran: %v", name, ok)
		}
	}
	if _, _, err := run("endless"); err == nil || !strings.Contains(err.Error(), "octets") {
		t.Errorf("an endless answer: %v", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, _, err := p.Run(ctx, "slow", nil, from, to, nil); err == nil {
		t.Error("a slow program is not stopped")
	}
	// Programs for scripts are no commands for transports, nor the reverse.
	item := &mail.Item{Hop: mail.Hop{Kind: mail.HopPipe, Host: "good", Exact: true}, To: []mail.ItemRcpt{{Recipient: mail.Recipient{Address: to}}}}
	if o := p.Deliver(t.Context(), item, mail.Bytes([]byte("x\r\n"))); o[0].Status.Class() == mail.Success {
		t.Errorf("a transport reached it: %v", o[0].Status)
	}
	item.Hop.Host, item.Hop.Args = mail.ForScripts+"good", "b c\nd"
	if o := p.Deliver(t.Context(), item, mail.Bytes([]byte("x\r\n"))); o[0].Status.Class() != mail.Success {
		t.Errorf("a script does not reach it: %v, %v", o[0].Status, o[0].Err)
	}
	item.Hop.Args = "fail"
	if o := p.Deliver(t.Context(), item, mail.Bytes([]byte("x\r\n"))); o[0].Status.Class() == mail.Success {
		t.Error("it does not get its arguments")
	}
}

// What a program writes without end takes no memory.
func TestEndlessOutput(t *testing.T) {
	var l limited
	if n, err := io.Copy(&l, io.LimitReader(rand.Reader, 1<<20)); n != 1<<20 || err != nil || l.start.Len() > maxOutput {
		t.Errorf("%d octets taken, %d kept: %v", n, l.start.Len(), err)
	}
}
