package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/maildrop"
	"plic/internal/message"
	"plic/internal/queue"
	"plic/internal/server"
	"plic/internal/vfs"
)

// The exit codes of <sysexits.h>, which callers of sendmail know.
const (
	exUsage       = 64
	exDataErr     = 65
	exNoInput     = 66
	exUnavailable = 69
	exTempFail    = 75
	exConfig      = 78
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

// oldFriend says which program of old plic was started as, "" for none.
func oldFriend(name string) string {
	switch name = filepath.Base(name); name {
	case "sendmail", "mailq", "newaliases":
		return name
	}
	return ""
}

// sendmailArgs are what a command line of sendmail says.
type sendmailArgs struct {
	mode   byte // of -b: m deliver, p list the queue, i aliases, s SMTP, v try, q flush
	config string
	from   *string
	name   string
	header bool         // -t
	dots   bool         // -i: a lone dot is not the end
	only   queue.Filter // of -q
	notify mail.Notify
	ret    string
	envid  string
	to     []string
}

// parseSendmail reads a command line as sendmail and Postfix do: flags without an
// argument may stand together, an argument may follow at once or next. What means
// nothing here is passed over.
func parseSendmail(program string, args []string) (*sendmailArgs, error) {
	s := &sendmailArgs{mode: map[string]byte{"sendmail": 'm', "mailq": 'p', "newaliases": 'i'}[program]}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			s.to = append(s.to, args...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			s.to = append(s.to, arg)
			continue
		}
		var err error
		if args, err = s.flags(arg[1:], args); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// flags reads one word of flags; rest is what follows it.
func (s *sendmailArgs) flags(word string, rest []string) ([]string, error) {
	for i := 0; i < len(word); i++ {
		c, attached := word[i], word[i+1:]
		switch {
		case strings.IndexByte("GImnUv", c) >= 0:
			if c == 'I' {
				s.mode = 'i'
			}
			continue
		case c == 'i':
			s.dots = true
			continue
		case c == 't':
			s.header = true
			continue
		case strings.IndexByte("bqodAJ", c) >= 0: // an argument that only follows at once
			return rest, s.optional(c, attached)
		case strings.IndexByte("BCFfrhLNOpRVXM", c) < 0:
			return nil, usagef("there is no flag -%c", c)
		}
		if attached == "" {
			if len(rest) == 0 {
				return nil, usagef("-%c wants an argument", c)
			}
			attached, rest = rest[0], rest[1:]
		}
		return rest, s.value(c, attached)
	}
	return rest, nil
}

func (s *sendmailArgs) optional(c byte, value string) error {
	switch c {
	case 'b':
		switch value {
		case "m", "p", "i", "s", "v":
			s.mode = value[0]
		case "a", "h", "H":
		default:
			return usagef("-b%s is not for plic: see plic serve", value)
		}
	case 'q':
		if value != "" && value[0] >= '0' && value[0] <= '9' { // an interval is for daemons
			return nil
		}
		s.mode = 'q'
		return s.choose(value)
	case 'o':
		s.dots = s.dots || strings.HasPrefix(value, "i")
	}
	return nil
}

// choose says what of the queue -q is for: Iid, Rrecipient or Ssender, of which the
// latter two may be domains; all of it without.
func (s *sendmailArgs) choose(which string) error {
	if which == "" {
		return nil
	}
	pattern := which[1:]
	if pattern == "" {
		return usagef("-q%s wants something behind the letter", which)
	}
	switch which[0] {
	case 'I':
		id, err := mail.ParseID(pattern)
		if err != nil {
			return usagef("-qI%s: %v", pattern, err)
		}
		s.only.IDs = append(s.only.IDs, id)
	case 'R':
		s.only.To = pattern
	case 'S':
		s.only.From = pattern
	default:
		return usagef("-q%s: it may be -qI, -qR or -qS", which)
	}
	return nil
}

func (s *sendmailArgs) value(c byte, value string) error {
	switch c {
	case 'C':
		s.config = value
	case 'F':
		s.name = value
	case 'f', 'r':
		s.from = &value
	case 'V':
		s.envid = value
	case 'R':
		switch s.ret = strings.ToUpper(value); s.ret {
		case "FULL", "HDRS":
		default:
			s.ret = "" // -R subject selects queue entries, which is no wish of ours
		}
	case 'N':
		kinds := map[string]mail.Notify{"never": mail.NotifyNever, "success": mail.NotifySuccess, "failure": mail.NotifyFailure, "delay": mail.NotifyDelay}
		for word := range strings.SplitSeq(strings.ToLower(value), ",") {
			kind, ok := kinds[strings.TrimSpace(word)]
			if !ok {
				return usagef("-N %s: it may be never, or some of success, failure, delay", value)
			}
			s.notify |= kind
		}
		if s.notify&mail.NotifyNever != 0 {
			s.notify = mail.NotifyNever
		}
	}
	return nil
}

// sendmail is plic under another name. It gives the exit code.
func (a *app) sendmail(ctx context.Context, program string, args []string) int {
	s, err := parseSendmail(program, args)
	if err == nil {
		if s.config != "" && exists(s.config) {
			a.configFile = s.config
		}
		err = a.oldWays(ctx, s)
	}
	var exit exitError
	var usage usageError
	var said mail.Status
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(a.err, "%s: %s\n", program, clean(err.Error()))
		return exUsage
	}
	fmt.Fprintf(a.err, "%s: %s\n", program, clean(err.Error()))
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &said) && said.Class() == mail.Permanent:
		return exUnavailable
	}
	return exTempFail
}

func (a *app) oldWays(ctx context.Context, s *sendmailArgs) error {
	switch s.mode {
	case 'p':
		return a.mailq(ctx)
	case 'q':
		return a.with(ctx, func(o control.Operations) error { return retry(ctx, o.Queue, s.only) })
	case 'i':
		if _, err := a.site(); err != nil {
			return exitError{exConfig, err}
		}
		fmt.Fprintln(a.out, "The tables of aliases are good; changes in them are seen at once.")
		return nil
	case 'v':
		return a.with(ctx, func(o control.Operations) error {
			for _, to := range s.to {
				way, err := o.Route.Explain(ctx, control.RouteQuery{To: to})
				if err != nil {
					return err
				}
				a.showWay(way, false)
			}
			return nil
		})
	}
	a.letter = true
	c, err := a.site()
	if err != nil {
		return exitError{exConfig, err}
	}
	if s.mode == 's' {
		return a.speakSMTP(ctx, c)
	}
	return a.submit(ctx, c, s)
}

// sender hands letters in at the site.
func (a *app) sender(c *config.Config) maildrop.Sender {
	dir := server.Maildrop(c)
	return maildrop.Sender{FS: vfs.Disk(), Dir: dir, Dial: func(ctx context.Context) (net.Conn, error) {
		return control.DialAs(ctx, dir, maildrop.SocketName)
	}}
}

// submit takes a message from standard input.
func (a *app) submit(ctx context.Context, c *config.Config, s *sendmailArgs) error {
	text, err := readMessage(a.in, !s.dots, c.SMTP.MessageSize)
	if err != nil {
		return err
	}
	d := &maildrop.Draft{Text: text, Name: s.name, Header: s.header, Origin: server.Origin(c), Now: a.now()}
	me := mail.Address{Local: a.userName(), Domain: d.Origin}
	d.From, d.Author = me, me
	if s.from != nil {
		if d.From, err = oneAddress(d, *s.from); err != nil {
			return exitError{exUsage, fmt.Errorf("sender %q: %w", *s.from, err)}
		}
		if !d.From.IsNull() {
			d.Author = d.From
		}
	}
	for _, arg := range s.to {
		for _, box := range message.ParseAddressList(arg) {
			to, err := d.Address(box)
			if err != nil {
				return exitError{exDataErr, fmt.Errorf("recipient %q: %w", arg, err)}
			}
			d.To = append(d.To, mail.Recipient{Address: to})
		}
	}
	l, whole, err := d.Compose()
	if err != nil {
		return exitError{exDataErr, err}
	}
	l.Ret, l.EnvelopeID = s.ret, s.envid
	for i := range l.To {
		l.To[i].Notify = s.notify
	}
	return a.sender(c).Send(ctx, l, whole)
}

// oneAddress reads a sender; "<>" and nothing are the null one.
func oneAddress(d *maildrop.Draft, text string) (mail.Address, error) {
	if text = strings.TrimSpace(text); text == "" || text == "<>" {
		return mail.Address{}, nil
	}
	list := message.ParseAddressList(text)
	if len(list) != 1 {
		return mail.Address{}, errors.New("one address is wanted")
	}
	return d.Address(list[0])
}

// userName is who runs the command, by the kernel rather than by what the
// environment says.
func (a *app) userName() string {
	if u, err := user.LookupId(fmt.Sprint(os.Getuid())); err == nil {
		return u.Username
	}
	return "nobody"
}

// readMessage reads to the end, or to a line with a lone dot.
func readMessage(r io.Reader, dots bool, most int64) ([]byte, error) {
	in := bufio.NewReader(io.LimitReader(r, most+1))
	var text bytes.Buffer
	for {
		line, err := in.ReadSlice('\n')
		start := text.Len() == 0 || text.Bytes()[text.Len()-1] == '\n'
		if dots && start && string(bytes.TrimRight(line, "\r\n")) == "." {
			return text.Bytes(), nil
		}
		text.Write(line)
		switch {
		case int64(text.Len()) > most:
			return nil, exitError{exDataErr, fmt.Errorf("the message has more than %d octets", most)}
		case errors.Is(err, io.EOF):
			return text.Bytes(), nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, exitError{exNoInput, err}
		}
	}
}

// mailq lists the queue in the form that scripts know.
func (a *app) mailq(ctx context.Context) error {
	return a.with(ctx, func(o control.Operations) error {
		count, octets := 0, int64(0)
		for item, err := range o.Queue.List(ctx, queue.Filter{}) {
			if err != nil {
				return err
			}
			if count == 0 {
				fmt.Fprintln(a.out, "-Queue ID-                  --Size-- ----Arrival Time---- -Sender/Recipient-------")
			}
			count++
			octets += item.Size
			mark := " "
			if item.Hold {
				mark = "!"
			}
			from := item.Envelope.From.String()
			if from == "" {
				from = "MAILER-DAEMON"
			}
			fmt.Fprintf(a.out, "%s%s %8d %s  %s\n", item.ID, mark, item.Size, item.Envelope.Received.Local().Format("Mon Jan _2 15:04:05"), clean(from))
			if _, last := lastAnswer(item.Item); last != "-" {
				fmt.Fprintf(a.out, "%40s\n", "("+clean(last)+")")
			}
			for _, to := range item.To {
				fmt.Fprintf(a.out, "%61s%s\n", "", clean(to.Address.String()))
			}
			fmt.Fprintln(a.out)
		}
		if count == 0 {
			fmt.Fprintln(a.out, "Mail queue is empty")
			return nil
		}
		fmt.Fprintf(a.out, "-- %d Kbytes in %d Request%s.\n", (octets+1023)/1024, count, map[bool]string{true: "", false: "s"}[count == 1])
		return nil
	})
}

// retry lets what of the queue is chosen be tried now.
func retry(ctx context.Context, q control.Queue, f queue.Filter) error {
	_, err := q.Change(ctx, control.Change{Action: control.Retry, Filter: f})
	return err
}
