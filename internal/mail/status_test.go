package mail

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func timeOf(t *testing.T) time.Time {
	t.Helper()
	return time.Date(2026, 11, 23, 10, 0, 0, 123e6, time.UTC)
}

func TestIDsSortByTime(t *testing.T) {
	at := timeOf(t)
	var ids []string
	for i := range 50 {
		ids = append(ids, NewID(at.Add(time.Duration(i)*time.Millisecond)).String())
	}
	if !slices.IsSorted(ids) {
		t.Error("IDs of later instants sort before earlier ones")
	}
	id := NewID(at)
	if !id.Time().Equal(at) || id.String() < FirstID(at).String() {
		t.Error(id.Time(), id, FirstID(at))
	}
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("w", 26), strings.Repeat("0", 27)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q is an ID", bad)
		}
	}
}

func TestStatus(t *testing.T) {
	s := Reply(550, "5.1.1", "no such user")
	if s.String() != "550 5.1.1 no such user" || s.Class() != Permanent || s.Temporary() {
		t.Error(s, s.Class())
	}
	if got := Reply(354, "", "go on").String(); got != "354 go on" {
		t.Error(got)
	}
	private := errors.New("password of the database")
	err := fmt.Errorf("deliver: %w", &Failure{Op: "look up", Status: Reply(451, "4.3.0", "later"), Err: private})
	if got := StatusOf(err); got.Code != 451 || strings.Contains(got.String(), "database") {
		t.Errorf("a peer would see %q", got)
	}
	if !errors.Is(err, private) {
		t.Error("the cause is lost")
	}
	if got := StatusOf(fmt.Errorf("x: %w", s)); got != s {
		t.Error(got)
	}
	if got := StatusOf(private); got.Class() != Transient {
		t.Errorf("trouble of ours is told as %v, want temporary", got)
	}
}

func TestCause(t *testing.T) {
	s := Reply(550, "5.1.1", "no such user")
	private := errors.New("the disk is on fire")
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {s, ""}, {fmt.Errorf("route: %w", s), ""}, {&Failure{Op: "route", Status: s}, ""},
		{&Failure{Op: "route", Status: s, Err: private}, "route: the disk is on fire"}, {private, "the disk is on fire"},
	} {
		if got := Cause(c.err); got != c.want {
			t.Errorf("the cause of %v is %q, want %q", c.err, got, c.want)
		}
	}
}

func TestNotify(t *testing.T) {
	for _, c := range []struct {
		n    Notify
		kind Notify
		want bool
	}{
		{0, NotifyFailure, true}, {0, NotifyDelay, true}, {0, NotifySuccess, false},
		{NotifyNever, NotifyFailure, false}, {NotifySuccess, NotifyFailure, false},
		{NotifySuccess | NotifyDelay, NotifyDelay, true},
	} {
		if got := c.n.Wants(c.kind); got != c.want {
			t.Errorf("NOTIFY %d wants %d: %v", c.n, c.kind, got)
		}
	}
}

type text struct{ *strings.Reader }

func (t text) Size() int64 { return t.Reader.Size() }
func (text) Close() error  { return nil }

func TestWithPrefix(t *testing.T) {
	whole := "Received: x\r\n" + "Subject: y\r\n\r\nbody"
	b := WithPrefix([]byte(whole[:13]), text{strings.NewReader(whole[13:])})
	if got, err := io.ReadAll(Reader(b)); err != nil || string(got) != whole || b.Size() != int64(len(whole)) {
		t.Errorf("%q, %v, size %d", got, err, b.Size())
	}
	for off := range whole {
		for end := off; end <= len(whole); end++ {
			p := make([]byte, end-off)
			if n, err := b.ReadAt(p, int64(off)); n != len(p) || string(p) != whole[off:end] || err != nil && err != io.EOF {
				t.Fatalf("octets %d to %d are %q, %v", off, end, p[:n], err)
			}
		}
	}
	if n, err := b.ReadAt(make([]byte, 5), int64(len(whole))-2); n != 2 || err != io.EOF {
		t.Error(n, err)
	}
	plain := text{strings.NewReader("x")}
	if WithPrefix(nil, plain) != Body(plain) {
		t.Error("no prefix, yet another body")
	}
}
