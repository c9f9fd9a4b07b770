package imapd

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// Filters run filter scripts over messages that are in mailboxes: RFC 6785, and
// FILTER=SIEVE of draft-bosch-imap-filter-sieve.
type Filters interface {
	// Chosen prepares the scripts that a user names: "DELIVERY" those of his mail,
	// "PERSONAL" one of his and "GLOBAL" one of the site by name, "SCRIPT" a text. A
	// *Fault is theirs.
	Chosen(ctx context.Context, account *store.Account, how, what string) (Filter, error)
	// Event prepares the script that a mailbox has for what happens in it; nil if
	// it has none.
	Event(ctx context.Context, mb *store.Mailbox) (Filter, error)
	// URL is where scripts are kept, by ManageSieve.
	URL() string
}

// Filter is some scripts, ready to run. A *Fault is theirs, and has changed nothing.
type Filter interface {
	Run(ctx context.Context, m Standing) error
}

// Standing is a message in a mailbox that a filter is run over.
type Standing struct {
	Mailbox *store.Mailbox
	Entry   store.Entry
	Flags   []string
	User    string
	Cause   string   // "APPEND", "COPY" or "FLAG"; "" for the wish of the user
	Changed []string // flags, of FLAG
}

// Fault is what is wrong with a filter script.
type Fault struct{ Text string }

func (f *Fault) Error() string { return f.Text }

// filterMessages is FILTER and UID FILTER.
func (c *conn) filterMessages(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	if word := s.Word(); word != "SIEVE" {
		s.Fail("FILTER knows no %.40s", word)
	}
	s.SP()
	how, what := s.Word(), ""
	switch how {
	case "DELIVERY":
	case "PERSONAL", "GLOBAL":
		s.SP()
		what = s.AString()
	case "SCRIPT":
		s.SP()
		what = s.Text()
	default:
		s.Fail("FILTER SIEVE knows no %.40s", how)
	}
	q := s.Search()
	if q.Return.Extended {
		s.Fail("FILTER returns nothing else")
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	v := c.view
	switch {
	case c.server.o.Filters == nil:
		return reply{}, bad(errors.New("there are no filters"))
	case v.readOnly:
		return reply{}, errReadOnly
	case v.mb.Account() != c.account:
		return reply{}, no("NOPERM", "filters are run over mailboxes of one's own")
	}
	run, err := c.server.o.Filters.Chosen(ctx, c.account, how, what)
	if fault, ok := errors.AsType[*Fault](err); ok {
		c.tellFilter(cmd.Tag, fault)
		return reply{}, no("", "the filter has a fault")
	}
	if err != nil {
		return reply{}, err
	}
	if err := c.prepare(ctx, &q); err != nil {
		return reply{}, err
	}
	f, err := c.find(ctx, v, cmd.Tag, &q, nil, true)
	if err != nil {
		return reply{}, err
	}
	t, err := c.takeTurn(ctx, cmd.Tag, c.server.searches)
	if err != nil {
		return reply{}, err
	}
	defer t.end()
	if err := c.runFilter(t, cmd, run, f.uids); err != nil {
		return reply{}, err
	}
	return c.limited(reply{}, nil, f.lowest)
}

func (c *conn) runFilter(t *turn, cmd *imap.Command, run Filter, uids []imap.Range) error {
	ctx, v := t.ctx, c.view
	done, total := 0, int(imap.Numbers(uids))
	for _, r := range uids {
		for n := uint64(r.Lo); n <= uint64(r.Hi); n++ {
			done++
			err := t.step(done, total)
			if err == nil {
				err = t.rest()
			}
			if err != nil {
				return err
			}
			e, ok := v.now.Get(store.UID(n))
			i, here := v.seq.Find(store.UID(n))
			if !ok || !here {
				continue // it went meanwhile
			}
			err = run.Run(ctx, Standing{Mailbox: v.mb, Entry: e, Flags: flagNames(v.now, e), User: c.account.Name()})
			if err != nil && ctx.Err() != nil {
				return err
			}
			if e2 := v.reload(ctx); e2 != nil {
				return e2
			}
			if now, ok := v.now.Get(e.UID); ok && now.ModSeq != e.ModSeq {
				v.own = append(v.own, now)
				c.tellKeywords()
				c.tellStored([]span{{i, i + 1}}, byUID(cmd), false, nil)
			}
			c.tellFiltered(cmd, i, e.UID, err)
			if c.out.err != nil {
				return c.out.err
			}
		}
	}
	return nil
}

// tellFiltered says what became of a message.
func (c *conn) tellFiltered(cmd *imap.Command, i int, uid store.UID, err error) {
	b := append(c.out.line(), "* "...)
	number := uint64(i) + 1
	if c.uidOnly { // there are no others
		number = uint64(uid)
	}
	b = strconv.AppendUint(b, number, 10)
	b = append(b, " FILTERED (TAG "...)
	b = imap.AppendString(b, cmd.Tag)
	b = append(b, ") UID "...)
	b = strconv.AppendUint(b, uint64(uid), 10)
	if err == nil {
		c.out.end(append(b, " OK\r\n"...))
		return
	}
	text := "the message could not be filtered"
	if fault, ok := errors.AsType[*Fault](err); ok {
		text = fault.Text
	} else {
		c.server.o.Log.Warn("imap: a message was not filtered", "conn", c.id, "err", err)
	}
	c.out.end(append(imap.AppendString(append(b, " ERRORS "...), text), "\r\n"...))
}

// tellFilter says what is wrong with all of a filter.
func (c *conn) tellFilter(tag string, fault *Fault) {
	b := imap.AppendString(append(c.out.line(), "* FILTER (TAG "...), tag)
	b = imap.AppendString(append(b, ") ERRORS "...), fault.Text)
	c.out.end(append(b, "\r\n"...))
}

// happened runs the script of a mailbox, if it has one, over messages that
// something has happened to: RFC 6785 section 3. What a script does is no event,
// and its faults are the owner's to see in the journal: the command has succeeded.
func (c *conn) happened(ctx context.Context, mb *store.Mailbox, cause string, uids []store.UID, changed []string) {
	if c.view != nil && c.view.mb == mb && cause != "FLAG" {
		c.brought = uids
	}
	if c.server.o.Filters == nil || len(uids) == 0 {
		return
	}
	run, err := c.server.o.Filters.Event(ctx, mb)
	if run == nil && err == nil {
		return
	}
	if err != nil {
		c.eventFailed(mb, err)
		return
	}
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		c.eventFailed(mb, err)
		return
	}
	event := func(uid store.UID) {
		e, ok := snap.Get(uid)
		if !ok {
			return
		}
		err := run.Run(ctx, Standing{Mailbox: mb, Entry: e, Flags: flagNames(snap, e), User: c.account.Name(), Cause: cause, Changed: changed})
		if err != nil {
			c.eventFailed(mb, err)
		}
	}
	if len(uids) <= fewEvents {
		for _, uid := range uids {
			event(uid)
		}
		return
	}
	c.quick.Leave()
	leave, err := c.server.searches.Enter(ctx, c.account.Name())
	if err != nil {
		return // the server stops
	}
	defer leave()
	for _, uid := range uids {
		lane, err := c.server.atWork.sit(ctx, &c.quick)
		if err != nil {
			return
		}
		event(uid)
		c.server.atWork.rise(lane)
	}
}

// fewEvents is how many messages the script of a mailbox runs over at once; of more
// each waits for a place among what takes long.
const fewEvents = 16

func (c *conn) eventFailed(mb *store.Mailbox, err error) {
	e := errorEvent(err)
	e.Mailbox, e.Reason = mb.Name(), "the script of the mailbox: "+err.Error()
	c.record(e)
}

// placedUIDs are the UIDs of messages that came.
func placedUIDs(placed []store.Placed) []store.UID {
	uids := make([]store.UID, len(placed))
	for i := range placed {
		uids[i] = placed[i].UID
	}
	return uids
}

// changedUIDs are those of messages whose flags have changed.
func changedUIDs(changed []store.Entry) []store.UID {
	uids := make([]store.UID, len(changed))
	for i := range changed {
		uids[i] = changed[i].UID
	}
	return uids
}

// flagNames are the flags of a message by name.
func flagNames(s *store.Snapshot, e store.Entry) []string {
	f := s.Flags(e)
	names := slices.Clone(f.Keywords)
	for _, known := range systemFlags {
		if f.System&known.bit != 0 {
			names = append(names, known.name)
		}
	}
	return names
}

// maySieve names what filters may be used for.
func (c *conn) maySieve() string {
	if c.server.o.Filters == nil {
		return ""
	}
	out := " FILTER=SIEVE"
	if url := c.server.o.Filters.URL(); url != "" && !strings.ContainsAny(url, " \r\n") {
		out += " IMAPSIEVE=" + url
	}
	return out
}
