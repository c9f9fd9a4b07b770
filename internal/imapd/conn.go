package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"plic/internal/deflate"
	"plic/internal/imap"
	"plic/internal/journal"
	"plic/internal/lang"
	"plic/internal/mail"
	"plic/internal/pace"
	"plic/internal/serve"
	"plic/internal/store"
)

// conn is one session.
type conn struct {
	server   *Server
	nc       net.Conn
	id       mail.ID
	remote   netip.AddrPort
	tls      *tls.ConnectionState
	stopping <-chan struct{} // closed when the server begins to stop
	since    time.Time

	quick pace.Quick // of the command at work
	in    input
	out   output
	text  *[]byte // of the command at work, nil at rest

	account  *store.Account // nil before login
	groups   []string       // that it is in
	login    login          // what the session counts as
	readOnly bool           // the login may change nothing
	patience time.Time      // by when to log in
	packed   *deflate.Conn  // nil unless COMPRESS was given
	view     *view          // nil unless a mailbox is selected
	modes                   // what the client has enabled
	notice   *notice        // what NOTIFY asked for; nil if it was not given
	changing bool           // the command at work adds or removes messages
	tests    int            // that it has made without a turn
	brought  []store.UID    // what it has added to the selected mailbox
	bad      int            // commands that were no good, without a good one between
	unread   *imap.Literal  // what the client has announced for this APPEND and we have not asked for
	leaving  bool           // the session ends after this command
}

// modes are what a client has asked for until it logs out.
type modes struct {
	rev2      bool // ENABLE IMAP4rev2 was given
	utf8      bool // ENABLE UTF8=ACCEPT was given
	condstore bool // the client knows of mod-sequences, RFC 7162 section 3.1
	qresync   bool // ENABLE QRESYNC was given: VANISHED for EXPUNGE, RFC 7162 section 3.2
	uidOnly   bool // ENABLE UIDONLY was given: no message numbers, RFC 9586

	speaks *lang.Language // LANGUAGE was given, RFC 5255
}

// The commands that may be no good in a row before we hang up.
const (
	maxBadBefore = 3
	maxBadAfter  = 20
)

// serve runs a session to its end, whatever happens in it.
func (s *Server) serve(stop, work context.Context, nc net.Conn, implicitTLS bool) {
	c := &conn{server: s, nc: nc, id: mail.NewID(s.o.Now()), stopping: stop.Done(), since: s.o.Now()}
	c.remote = serve.Remote(nc)
	if c.login = (login{remote: c.remote.Addr()}); !s.sessions.Enter(c.login, s.o.PerIP) {
		serve.Refuse(nc, "* BYE [UNAVAILABLE] too many connections from your address, log in on those\r\n")
		return
	}
	c.quick = s.o.Pace.Quick()
	c.in.server, c.in.conn, c.in.buf, c.in.quick = s, nc, c.in.small[:], &c.quick
	c.out.server, c.out.conn, c.out.quick = s, nc, &c.quick
	defer context.AfterFunc(work, func() { nc.Close() })()
	defer context.AfterFunc(stop, c.in.interrupt)()
	c.record(journal.Event{Kind: journal.Connect})
	defer c.end(work)
	if implicitTLS {
		if err := c.handshake(work); err != nil {
			c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
			return
		}
	}
	c.session(work)
}

// end leaves nothing behind; a panic of the session ends here too.
func (c *conn) end(ctx context.Context) {
	c.quick.Leave()
	if p := recover(); p != nil {
		c.server.o.Log.Error("imap: panic", "conn", c.id, "panic", p, "stack", string(debug.Stack()))
		c.record(journal.Event{Kind: journal.Panic, Reason: fmt.Sprint(p)})
		serve.Refuse(c.nc, "\r\n* BYE [SERVERBUG] internal error\r\n")
		c.view = nil // what panicked is not asked again
	}
	c.stopNotice()
	c.closeView(ctx)
	c.out.rest()
	c.nc.Close()
	c.in.r, c.in.w = 0, 0
	c.in.rest()
	c.restText()
	c.server.sessions.Leave(c.login)
	c.record(journal.Event{Kind: journal.Disconnect, Took: c.server.o.Now().Sub(c.since)})
}

func (c *conn) record(e journal.Event) {
	if c.server.o.Journal == nil {
		return
	}
	e.Service, e.Conn, e.Remote = "imap", c.id, c.remote.String()
	if c.account != nil {
		e.Account = c.account.Name()
	}
	if c.tls != nil {
		e.TLS = tls.VersionName(c.tls.Version) + " " + tls.CipherSuiteName(c.tls.CipherSuite)
	}
	c.server.o.Journal.Record(e)
}

// handshake starts TLS. What came before it is not known any more.
func (c *conn) handshake(ctx context.Context) error {
	t := tls.Server(c.nc, c.server.o.TLS)
	c.nc.SetDeadline(time.Now().Add(c.server.o.LoginTimeout))
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.nc.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.tls, c.nc, c.out.conn = &state, t, t
	c.in.swap(t)
	c.record(journal.Event{Kind: journal.TLS})
	return nil
}

// session greets and runs commands until one of the two has had enough.
func (c *conn) session(ctx context.Context) {
	c.out.text("* OK [CAPABILITY ", c.capabilities(), "] plic is ready")
	c.patience = time.Now().Add(c.server.o.LoginTimeout)
	for !c.leaving {
		patience := c.patience
		if c.account != nil {
			patience = time.Now().Add(c.server.o.IdleTimeout)
		}
		cmd, err := c.next(ctx, patience)
		if err != nil && !c.misread(cmd, err) {
			return
		}
		if err == nil {
			c.handle(ctx, cmd)
		}
		limit := maxBadBefore
		if c.account != nil {
			limit = maxBadAfter
		}
		if c.bad >= limit && !c.leaving {
			c.bye("too many commands that are no good")
			return
		}
		if c.out.err != nil {
			return
		}
	}
}

// next reads a command. While nothing comes the session holds no buffers, and the
// client is told of what it has asked for with NOTIFY.
func (c *conn) next(ctx context.Context, patience time.Time) (imap.Command, error) {
	if c.in.buffered() == 0 {
		c.restText()
		if err := c.out.rest(); err != nil {
			return imap.Command{}, err
		}
		if c.isListening() {
			if err := c.listen(ctx, patience, false); err != nil {
				return imap.Command{}, err
			}
		} else {
			c.openNext(ctx)
		}
	}
	if err := c.await(patience); err != nil {
		return imap.Command{}, err
	}
	if c.text == nil {
		c.text = c.server.pages.Get().(*[]byte)
	}
	limits := imap.PreAuth
	if c.account != nil {
		limits = imap.Authenticated
	}
	cmd, buf, err := imap.ReadCommand(c, *c.text, limits, c.utf8Names())
	if cap(buf) <= 4*pageSize {
		*c.text = buf
	}
	return cmd, err
}

// restText gives the buffer of the last command back.
func (c *conn) restText() {
	if c.text != nil {
		c.server.pages.Put(c.text)
		c.text = nil
	}
}

// misread answers when no command could be read, and says whether to go on.
func (c *conn) misread(cmd imap.Command, err error) bool {
	var r *refusal
	switch {
	case errors.As(err, &r): // while nothing was said
		c.bye(r.line())
	case errors.Is(err, imap.ErrTooBig):
		c.bad++
		c.out.text(cmd.Tag, " BAD [TOOBIG] the command or a literal in it is too long")
		return true
	case errors.Is(err, errInterrupted):
		c.bye("[UNAVAILABLE] the server ends the session, come back soon")
	case errors.Is(err, os.ErrDeadlineExceeded): // in the midst of a literal, too
		c.bye("nothing was said for too long")
	case errors.Is(err, imap.ErrLost):
		c.bye("[TOOBIG] the command or a literal in it is far too long")
	case errors.Is(err, deflate.ErrCorrupt):
		c.bye("the compressed stream is damaged")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, errLeave):
	default:
		c.server.o.Log.Debug("imap: session", "conn", c.id, "err", err)
	}
	return false
}

// bye ends the session from our side.
func (c *conn) bye(text string) {
	c.leaving = true
	c.out.text("* BYE ", text)
	c.out.flush()
}

// utf8Names says that mailbox names are in UTF-8 on the wire, RFC 9051 section
// 5.1 and RFC 6855 section 3.
func (c *conn) utf8Names() bool { return c.rev2 || c.utf8 }

// ReadLine reads a line of a command.
func (c *conn) ReadLine(dst []byte, limit int) ([]byte, error) { return c.in.readLine(dst, limit) }

// Read reads the content of a literal.
func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Continue asks for a literal.
func (c *conn) Continue() error {
	c.out.text("+ go ahead")
	return c.out.flush()
}

// handle runs a command and answers it.
func (c *conn) handle(ctx context.Context, cmd imap.Command) {
	if c.account != nil { // nobody pauses for strangers, and to log in takes long
		c.quick.Begin()
		defer c.quick.End()
	}
	c.unread, c.tests = cmd.Message, 0
	spec, known := lookup(cmd.Name)
	if !known && c.account == nil && foreign(cmd.Tag) {
		c.record(journal.Event{Kind: journal.Reject, Reason: "HTTP spoken to IMAP"})
		c.bye("this is IMAP")
		return
	}
	r, err := c.run(ctx, cmd, spec, known)
	if c.unread != nil {
		limit := int64(imap.MaxDrain)
		if c.account != nil {
			limit = c.server.o.MaxMessage + maxTogether
		}
		if e := imap.RefuseLiteral(c, *c.unread, limit); !errors.Is(e, imap.ErrTooBig) {
			c.misread(cmd, e)
			c.leaving = true
			return
		}
	}
	if err == nil || !isFatal(err) {
		c.changing = changesMessages(cmd.Name)
		if e := c.sync(ctx, spec.expunges); e != nil {
			err = e
		}
		c.changing, c.brought = false, nil
	}
	c.answer(cmd, r, err)
}

// foreign knows the first word of HTTP, which a browser can be made to speak to
// us (CVE-2021-3618): nothing of what follows may be run or sent back.
func foreign(tag string) bool {
	switch tag {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI":
		return true
	}
	return false
}

func (c *conn) run(ctx context.Context, cmd imap.Command, spec command, known bool) (reply, error) {
	switch {
	case cmd.Args.Err() != nil:
		return reply{}, bad(cmd.Args.Err())
	case !known:
		return reply{}, bad(errors.New("there is no such command"))
	case !spec.allows(c):
		return reply{}, bad(fmt.Errorf("%s cannot be given now", cmd.Name))
	case c.uidOnly && namesNumbers(cmd.Name):
		return reply{}, errUIDRequired
	case c.readOnly && changes(cmd.Name):
		return reply{}, no("NOPERM", "this login is for reading only")
	case c.account != nil && c.account.Moved():
		return reply{}, errMoved
	}
	if c.view != nil {
		if err := c.view.refresh(ctx); err != nil {
			return reply{}, err
		}
	}
	return spec.run(c, ctx, &cmd)
}

// answer writes the tagged response.
func (c *conn) answer(cmd imap.Command, r reply, err error) {
	if errors.Is(err, errAnswered) {
		return
	}
	behind := c.behind()
	if err == nil && r.code == "" {
		r.code = behind
	} else if behind != "" && behind != r.code {
		c.out.text("* OK [", behind, "] of what was told")
	}
	if err != nil {
		f := c.refusalOf(err)
		switch f.kind {
		case "":
			c.leaving = true
			c.misread(cmd, err)
			return
		case "BYE":
			c.bye(f.line())
			return
		case "BAD":
			c.bad++
		}
		c.out.text(cmd.Tag, " ", f.kind, " ", c.said(f, err))
		return
	}
	c.bad = 0
	if r.text == "" {
		r.text = fmt.Sprintf(c.speaks.Text("%s completed"), cmd.Name)
	}
	r.text = c.speaks.Text(r.text)
	c.out.text(cmd.Tag, " OK ", r.line())
}
