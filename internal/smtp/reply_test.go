package smtp

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"plic/internal/mail"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		wire string
		want Reply
		err  error
	}{
		{"250 ok\r\n", Reply{250, []string{"ok"}}, nil},
		{"250\r\n", Reply{250, []string{""}}, nil},
		{"250 \r\n", Reply{250, []string{""}}, nil},
		{"250-a\r\n250-\r\n250 b\r\n", Reply{250, []string{"a", "", "b"}}, nil},
		{"250 ok\n", Reply{250, []string{"ok"}}, nil},
		{"550 a\x00\x1bb\r\n", Reply{550, []string{"a??b"}}, nil},
		{"550 \xff ü\r\n", Reply{550, []string{"? ü"}}, nil},
		{"", Reply{}, io.EOF},
		{"250", Reply{}, io.ErrUnexpectedEOF},
		{"250-a\r\n", Reply{}, io.ErrUnexpectedEOF},
		{"250-a\r\n550 b\r\n", Reply{}, ErrReply},
		{"25 a\r\n", Reply{}, ErrReply},
		{"\r\n", Reply{}, ErrReply},
		{"250_a\r\n", Reply{}, ErrReply},
		{"2500 a\r\n", Reply{}, ErrReply},
		{"150 a\r\n", Reply{}, ErrReply},
		{"650 a\r\n", Reply{}, ErrReply},
		{"HTTP/1.1 400 Bad\r\n", Reply{}, ErrReply},
		{"250 " + strings.Repeat("a", 4090) + "\r\n", Reply{250, []string{strings.Repeat("a", 4090)}}, nil},
		{"250 " + strings.Repeat("a", 4091) + "\r\n", Reply{}, ErrReply},
		{strings.Repeat("250-a\r\n", 65536/7+1), Reply{}, ErrReply},
	}
	for _, test := range tests {
		for _, small := range []bool{false, true} {
			var r io.Reader = strings.NewReader(test.wire)
			if small {
				r = iotest.OneByteReader(r)
			}
			got, err := ReadReply(bufio.NewReaderSize(r, 64))
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("ReadReply(%.40q): %v, want %v", test.wire, err, test.err)
			}
			if err == nil && !reflect.DeepEqual(got, test.want) {
				t.Errorf("ReadReply(%.40q) = %.80q", test.wire, got)
			}
		}
	}
}

func TestReplyStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reply Reply
		want  mail.Status
	}{
		{Reply{550, []string{"5.1.1 no such user"}}, mail.Reply(550, "5.1.1", "no such user")},
		{Reply{550, []string{"5.1.1 no such", "5.1.1 user"}}, mail.Reply(550, "5.1.1", "no such user")},
		{Reply{550, []string{"Mailbox unknown", "5.1.1 User unknown"}}, mail.Reply(550, "5.1.1", "Mailbox unknown User unknown")},
		{Reply{550, []string{"2.1.1 odd"}}, mail.Reply(550, "", "2.1.1 odd")},
		{Reply{550, []string{"5.1 odd"}}, mail.Reply(550, "", "5.1 odd")},
		{Reply{550, []string{"5.1.1.1 odd"}}, mail.Reply(550, "", "5.1.1.1 odd")},
		{Reply{550, []string{"5.1111.1 odd"}}, mail.Reply(550, "", "5.1111.1 odd")},
		{Reply{450, []string{"4.7.1"}}, mail.Reply(450, "4.7.1", "")},
		{Reply{250, []string{""}}, mail.Reply(250, "", "")},
	}
	for _, test := range tests {
		if got := test.reply.Status(); got != test.want {
			t.Errorf("%q: %+v, want %+v", test.reply, got, test.want)
		}
	}
}

func TestAppendStatus(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 200)
	tests := []struct{ status, want string }{
		{string(AppendStatus(nil, mail.Reply(250, "2.0.0", "ok"))), "250 2.0.0 ok\r\n"},
		{string(AppendStatus(nil, mail.Reply(354, "", "go"))), "354 go\r\n"},
		{string(AppendStatus(nil, mail.Reply(550, "5.7.1", "a\nb"))), "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		{string(AppendStatus(nil, mail.Reply(550, "5.7.1", "a\rb\x00ü"))), "550 5.7.1 a?b???\r\n"},
	}
	for _, test := range tests {
		if test.status != test.want {
			t.Errorf("got %q, want %q", test.status, test.want)
		}
	}
	for _, text := range []string{long, strings.Repeat("x", 2000)} {
		wire := AppendStatus(nil, mail.Reply(550, "5.7.1", text))
		for line := range strings.Lines(string(wire)) {
			if len(line) > maxWrite {
				t.Errorf("line of %d octets", len(line))
			}
		}
		reply, err := ReadReply(bufio.NewReader(strings.NewReader(string(wire))))
		if err != nil || strings.ReplaceAll(reply.Status().Text, " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Errorf("text was lost: %q, %v", reply, err)
		}
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	e := ParseExtensions(Reply{250, []string{
		"STARTTLS host says hello", "size 1000", "AUTH=LOGIN", "auth  PLAIN scram-sha-256", "8BITMIME",
		"LIMITS RCPTMAX=50 MAILMAX=7 BAD=x", "not_a_keyword", "",
	}})
	if e.Has("STARTTLS") || !e.Has("8BITMIME") || e.Has("NOT_A_KEYWORD") {
		t.Error(e)
	}
	if e.Size() != 1000 || e.Limit("RCPTMAX") != 50 || e.Limit("BAD") != 0 || e.Limit("NONE") != 0 {
		t.Error(e)
	}
	if got := strings.Join(e.Mechanisms(), " "); got != "LOGIN PLAIN SCRAM-SHA-256" {
		t.Error(got)
	}
	if ParseExtensions(Reply{250, []string{"h", "SIZE 99999999999999999999"}}).Size() != 0 {
		t.Error("a size out of range is one")
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 x\r\n", "250-a\r\n550 b\r\n", "2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bufio.NewReaderSize(strings.NewReader(string(wire)), 16)
		for {
			reply, err := ReadReply(r)
			if err != nil {
				return
			}
			if c := reply.Class(); c < 2 || c > 5 || len(reply.Lines) == 0 {
				t.Fatalf("%q: %+v", wire, reply)
			}
			st := reply.Status()
			if st.Enhanced != (mail.Enhanced{}) && int(st.Enhanced[0]) != st.Code/100 {
				t.Fatalf("%q: %+v", wire, st)
			}
			ParseExtensions(reply)
			again, err := ReadReply(bufio.NewReader(strings.NewReader(string(AppendStatus(nil, st)))))
			if err != nil || again.Code != reply.Code {
				t.Fatalf("%q: written as %q: %v", wire, AppendStatus(nil, st), err)
			}
		}
	})
}
