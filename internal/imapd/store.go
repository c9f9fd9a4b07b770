package imapd

import (
	"context"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// storeArgs is what a STORE asks for.
type storeArgs struct {
	set    imap.Set
	op     store.FlagOp
	silent bool
	names  []string
	since  store.ModSeq

	conditional bool // UNCHANGEDSINCE was given
}

// store is STORE and UID STORE, RFC 9051 section 6.4.6, with UNCHANGEDSINCE of
// RFC 7162 section 3.1.3.
func (c *conn) store(ctx context.Context, cmd *imap.Command) (reply, error) {
	a := c.storeArgs(cmd.Args)
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	if a.conditional {
		c.learnModSeq()
	}
	flags, err := flagsOf(a.names)
	if err != nil {
		return reply{}, err
	}
	v := c.view
	spans, err := v.spans(a.set, byUID(cmd))
	if err != nil {
		return reply{}, err
	}
	if v.readOnly {
		return reply{}, errReadOnly
	}
	may := c.changeable(v.mb)
	if flags, err = narrow(a.op, flags, may); err != nil {
		return reply{}, err
	}
	spans, lowest := c.limit(spans)
	uids, missing := v.uids(spans)
	var modified []store.UID
	if len(uids) > 0 {
		if v.own, modified, err = v.mb.SetFlagsBut(ctx, uids, a.op, flags, a.since, ^may); err != nil {
			return reply{}, err
		}
		c.happened(ctx, v.mb, "FLAG", changedUIDs(v.own), a.names)
		if err := v.reload(ctx); err != nil {
			return reply{}, err
		}
		if !a.silent { // then it is not told here what others, or a script, have added
			v.renewOwn()
		}
	}
	c.tellKeywords()
	c.tellStored(spans, byUID(cmd), a.silent, modified)
	r := reply{}
	if len(modified) > 0 {
		r = reply{"MODIFIED " + c.nameMessages(modified, byUID(cmd)), "the others were changed"}
	}
	if missing && !passesOver(cmd, a.set) {
		code := "EXPUNGEISSUED"
		if r.code != "" {
			code = r.code // which others have failed, as in the examples of RFC 7162 section 3.1.3
		}
		r, err = reply{}, no(code, "some of the messages are gone")
	}
	return c.limited(r, err, lowest)
}

func (c *conn) storeArgs(s *imap.Scanner) storeArgs {
	a := storeArgs{since: store.MaxModSeq}
	s.SP()
	a.set = s.Set()
	s.SP()
	if s.Peek() == '(' {
		s.List(func() {
			if word := s.Word(); word != "UNCHANGEDSINCE" {
				s.Fail("STORE knows no modifier %.40s", word)
			}
			s.SP()
			a.since = store.ModSeq(s.ModSeq())
			a.conditional = true
		})
		s.SP()
	}
	word := s.Word()
	word, a.silent = strings.CutSuffix(word, ".SILENT")
	switch word {
	case "FLAGS":
		a.op = store.FlagsSet
	case "+FLAGS":
		a.op = store.FlagsAdd
	case "-FLAGS":
		a.op = store.FlagsRemove
	default:
		s.Fail("STORE knows no item %.40s", word)
	}
	s.SP()
	if s.Peek() == '(' {
		a.names = s.Flags()
		return a
	}
	for { // flags may stand without parentheses
		a.names = append(a.names, s.Flag())
		if !s.Take(' ') {
			return a
		}
	}
}

// tellStored tells the flags of the messages of a STORE as they are now, or
// only the new mod-sequences when it was silent, RFC 7162 section 3.1.3.
func (c *conn) tellStored(spans []span, withUID, silent bool, modified []store.UID) {
	v := c.view
	for i, it := range v.entries(spans) {
		for len(modified) > 0 && modified[0] < it.UID {
			modified = modified[1:]
		}
		failed := len(modified) > 0 && modified[0] == it.UID
		if !it.there || failed || silent && !(c.condstore && v.isOwn(it.Entry)) {
			continue
		}
		b := c.appendFetch(c.out.line(), i, it.UID, withUID || c.qresync)
		if !silent {
			b = append(b, "FLAGS "...)
			b = c.appendFlags(b, it.Entry)
			if c.condstore {
				b = append(b, ' ')
			}
		}
		if c.condstore {
			b = appendModSeq(b, it.ModSeq)
		}
		c.out.end(append(b, ")\r\n"...))
	}
}

// nameMessages writes messages as a set of UIDs or of the client's numbers.
func (c *conn) nameMessages(uids []store.UID, byUID bool) string {
	var ranges []imap.Range
	for _, uid := range uids {
		if byUID {
			ranges = imap.AddNumber(ranges, uint32(uid))
		} else if i, ok := c.view.seq.Find(uid); ok {
			ranges = imap.AddNumber(ranges, uint32(i+1))
		}
	}
	return string(imap.AppendSet(nil, ranges))
}
