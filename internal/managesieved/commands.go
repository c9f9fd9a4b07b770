package managesieved

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/scripts"
	"plic/internal/serve"
	"plic/internal/sieve"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// do does a command. What it tells before its reply is in the buffer.
func (c *session) do(ctx context.Context, cmd command) reply {
	if run, want := c.always(cmd.name); run != nil {
		if !cmd.fits(want) {
			return no("", cmd.name+" has other arguments")
		}
		return run(ctx, cmd.args)
	}
	run, want := c.loggedIn(cmd.name)
	switch {
	case run == nil:
		return no("", "there is no such command")
	case c.account == nil:
		return no("", "log in first")
	case !cmd.fits(want):
		return no("", cmd.name+" has other arguments")
	}
	return run(ctx, cmd.args)
}

type handler func(context.Context, []argument) reply

// always are the commands that need no login; the notation of arguments is "s"
// for a string, "n" for a number, "?" before those that may be missing.
func (c *session) always(name string) (handler, string) {
	switch name {
	case "CAPABILITY":
		return c.capability, ""
	case "STARTTLS":
		return c.starttls, ""
	case "AUTHENTICATE":
		return c.authenticate, "s?s"
	case "NOOP":
		return c.noop, "?s"
	case "LOGOUT":
		return c.logout, ""
	}
	return nil, ""
}

func (c *session) loggedIn(name string) (handler, string) {
	switch name {
	case "UNAUTHENTICATE":
		return c.unauthenticate, ""
	case "HAVESPACE":
		return c.havespace, "sn"
	case "PUTSCRIPT":
		return c.putscript, "ss"
	case "CHECKSCRIPT":
		return c.checkscript, "s"
	case "LISTSCRIPTS":
		return c.listscripts, ""
	case "SETACTIVE":
		return c.setactive, "s"
	case "GETSCRIPT":
		return c.getscript, "s"
	case "DELETESCRIPT":
		return c.deletescript, "s"
	case "RENAMESCRIPT":
		return c.renamescript, "ss"
	}
	return nil, ""
}

func (cmd command) fits(want string) bool {
	required, optional, _ := strings.Cut(want, "?")
	if len(cmd.args) < len(required) || len(cmd.args) > len(required)+len(optional) {
		return false
	}
	for i, a := range cmd.args {
		if a.number != ((required + optional)[i] == 'n') {
			return false
		}
	}
	return true
}

func (c *session) peer() auth.Peer {
	return auth.Peer{Service: "managesieve", Remote: c.remote.Addr(), Conn: c.id, TLS: c.tls, Loopback: c.remote.Addr().IsLoopback()}
}

// capabilities tells what there is, RFC 5804 section 1.7.
func (c *session) capabilities() {
	tell := func(name string, value ...string) {
		c.out.WriteString(str(name))
		for _, v := range value {
			c.out.WriteString(" " + str(v))
		}
		c.out.WriteString("\r\n")
	}
	tell("IMPLEMENTATION", "plic")
	tell("SASL", strings.Join(c.server.o.Auth.Mechanisms(c.peer()), " "))
	tell("SIEVE", strings.Join(c.server.o.Scripts.Capabilities(), " "))
	if c.tls == nil && c.server.o.TLS != nil && c.account == nil {
		tell("STARTTLS")
	}
	tell("NOTIFY", "mailto")
	tell("MAXREDIRECTS", "4")
	if c.account != nil {
		tell("OWNER", c.owner)
	}
	tell("UNAUTHENTICATE")
	tell("VERSION", "1.0")
}

func (c *session) capability(context.Context, []argument) reply {
	c.capabilities()
	return ok("")
}

// noop gives its argument back, RFC 5804 section 2.13.
func (c *session) noop(_ context.Context, args []argument) reply {
	if len(args) == 0 {
		return ok("nothing done")
	}
	return reply{"OK", "TAG " + str(args[0].text), "nothing done"}
}

func (c *session) logout(context.Context, []argument) reply {
	c.leaving = true
	return ok("good bye")
}

// starttls is STARTTLS, RFC 5804 section 2.2. Whoever sends anything behind it
// before TLS is up is cut off: somebody else put it there.
func (c *session) starttls(ctx context.Context, _ []argument) reply {
	switch {
	case c.tls != nil || c.server.o.TLS == nil || c.account != nil:
		return no("", "TLS is not available, or is on already")
	case c.in.Buffered() > 0:
		c.record(journal.Event{Kind: journal.Reject, Reason: "data injected behind STARTTLS"})
		return bye("", "nothing may follow STARTTLS before TLS is up")
	}
	if c.answer(ok("begin TLS now")) != nil || c.handshake(ctx) != nil {
		return bye("", "no TLS")
	}
	c.capabilities()
	return ok("TLS is up")
}

// authenticate is AUTHENTICATE, RFC 5804 section 2.1.
func (c *session) authenticate(ctx context.Context, args []argument) reply {
	if c.account != nil {
		return no("", "you have logged in")
	}
	exchange, err := c.server.o.Auth.Begin(ctx, c.peer(), args[0].text)
	if err != nil {
		return authReply(err)
	}
	var response []byte // nil: no initial response
	if len(args) > 1 {
		if response, err = decode(args[1].text); err != nil {
			return no("", "that is not base64")
		}
	}
	for {
		challenge, done, err := exchange.Next(ctx, response)
		if err != nil {
			return authReply(err)
		}
		if done {
			return c.enter(ctx, exchange.Account())
		}
		c.out.WriteString(str(base64.StdEncoding.EncodeToString(challenge)) + "\r\n")
		if c.flush() != nil {
			return bye("", "gone")
		}
		text, err := c.response()
		if err != nil {
			return bye("", "no response")
		}
		if text == "*" {
			return no("", "given up as asked for")
		}
		if response, err = decode(text); err != nil {
			return no("", "that is not base64")
		}
	}
}

// response reads a string on a line of its own.
func (c *session) response() (string, error) {
	a, err := c.argument()
	if err != nil {
		return "", err
	}
	line, err := c.in.ReadSlice('\n')
	if err == nil && strings.TrimRight(string(line), "\r\n") != "" {
		err = syntaxError("one string is expected")
	}
	return a.text, err
}

func decode(text string) ([]byte, error) {
	return base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
}

func authReply(err error) reply {
	switch {
	case errors.Is(err, auth.ErrNeedTLS):
		return no("ENCRYPT-NEEDED", err.Error())
	case errors.Is(err, auth.ErrBad), errors.Is(err, auth.ErrNoMechanism), errors.Is(err, auth.ErrMalformed):
		return no("", err.Error())
	case errors.Is(err, auth.ErrThrottled):
		return no("TRYLATER", auth.ErrThrottled.Error())
	}
	return no("TRYLATER", auth.ErrTemporary.Error())
}

// enter opens the account of whoever has logged in.
func (c *session) enter(ctx context.Context, name string) reply {
	account, err := c.server.o.Store.Account(ctx, name)
	if err != nil {
		return c.trouble(err)
	}
	serve.LoggedIn(ctx, name)
	c.account, c.owner = account, name
	return ok("welcome")
}

func (c *session) unauthenticate(ctx context.Context, _ []argument) reply {
	serve.LoggedIn(ctx, "")
	c.account, c.owner = nil, ""
	return ok("who are you?")
}

// havespace is HAVESPACE, RFC 5804 section 2.5.
func (c *session) havespace(ctx context.Context, args []argument) reply {
	n, err := strconv.ParseInt(args[1].text, 10, 64)
	if err != nil {
		return no("QUOTA/MAXSIZE", "that is too much")
	}
	if err := c.server.o.Scripts.Room(ctx, c.account, args[0].text, n); err != nil {
		return c.trouble(err)
	}
	return ok("there is room")
}

func (c *session) putscript(ctx context.Context, args []argument) reply {
	if err := c.server.o.Scripts.Put(ctx, c.account, args[0].text, args[1].text); err != nil {
		return c.trouble(err)
	}
	return ok("the script is kept")
}

func (c *session) checkscript(ctx context.Context, args []argument) reply {
	if _, err := c.server.o.Scripts.Compile(ctx, c.account, args[0].text); err != nil {
		return c.trouble(err)
	}
	return ok("the script is good")
}

func (c *session) listscripts(ctx context.Context, _ []argument) reply {
	all, err := c.server.o.Scripts.List(ctx, c.account)
	if err != nil {
		return c.trouble(err)
	}
	for _, s := range all {
		c.out.WriteString(str(s.Name))
		if s.Active {
			c.out.WriteString(" ACTIVE")
		}
		c.out.WriteString("\r\n")
	}
	return ok("")
}

func (c *session) setactive(ctx context.Context, args []argument) reply {
	if err := c.server.o.Scripts.Activate(ctx, c.account, args[0].text); err != nil {
		return c.trouble(err)
	}
	if args[0].text == "" {
		return ok("no script is active")
	}
	return ok("the script is active")
}

func (c *session) getscript(ctx context.Context, args []argument) reply {
	text, err := c.server.o.Scripts.Get(ctx, c.account, args[0].text)
	if err != nil {
		return c.trouble(err)
	}
	fmt.Fprintf(c.out, "{%d}\r\n%s\r\n", len(text), text)
	return ok("")
}

func (c *session) deletescript(ctx context.Context, args []argument) reply {
	if err := c.server.o.Scripts.Delete(ctx, c.account, args[0].text); err != nil {
		return c.trouble(err)
	}
	return ok("the script is gone")
}

func (c *session) renamescript(ctx context.Context, args []argument) reply {
	if err := c.server.o.Scripts.Rename(ctx, c.account, args[0].text, args[1].text); err != nil {
		return c.trouble(err)
	}
	return ok("the script has its new name")
}

// trouble tells an error, RFC 5804 section 1.3.
func (c *session) trouble(err error) reply {
	if e, isScript := errors.AsType[*sieve.Error](err); isScript {
		return no("", e.Error())
	}
	for _, x := range []struct {
		err  error
		code string
	}{
		{scripts.ErrNone, "NONEXISTENT"}, {scripts.ErrExists, "ALREADYEXISTS"}, {scripts.ErrActive, "ACTIVE"},
		{scripts.ErrTooMany, "QUOTA/MAXSCRIPTS"}, {scripts.ErrTooBig, "QUOTA/MAXSIZE"}, {scripts.ErrName, ""},
	} {
		if errors.Is(err, x.err) {
			return no(x.code, err.Error())
		}
	}
	if errors.Is(err, store.ErrNoAccount) || errors.Is(err, store.ErrGone) {
		return bye("", "the account is gone")
	}
	if errors.Is(err, engine.ErrFull) {
		return no("QUOTA", "there is no room now")
	}
	c.server.o.Log.Error("managesieve", "account", c.owner, "error", err)
	c.record(journal.Event{Kind: journal.Error, Reason: err.Error()})
	return no("TRYLATER", "temporary trouble, try again later")
}
