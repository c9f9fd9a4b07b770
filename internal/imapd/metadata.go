package imapd

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// The bounds of annotations: octets of a value, and how many there may be of
// one owner.
const (
	maxValue       = 64 << 10
	maxAnnotations = 200
)

// specialUseEntry is the special use of a mailbox as an annotation, RFC 6154
// section 4.
const specialUseEntry = "/private/specialuse"

// owner is whose annotations an entry is among.
type owner struct {
	notes  store.Notes
	prefix string // of their keys
}

// annotated is what annotations are of: a mailbox or the server.
type annotated struct {
	c    *conn
	name string
	mb   *store.Mailbox // nil for the server
}

func (c *conn) annotated(ctx context.Context, name string) (annotated, error) {
	a := annotated{c: c, name: name}
	if name == "" {
		return a, nil
	}
	var err error
	a.mb, err = c.mailbox(ctx, name, store.MayRead)
	return a, err
}

// owner finds where an entry is kept, or those of a tree.
func (a *annotated) owner(entry string) owner {
	notes, prefix := a.c.account.Annotations(a.mb, entry+"/")
	return owner{notes, prefix}
}

// getMetadata is GETMETADATA, RFC 5464 section 4.2.
func (c *conn) getMetadata(ctx context.Context, cmd *imap.Command) (reply, error) {
	m := cmd.Args.GetMetadata()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	a, err := c.annotated(ctx, m.Mailbox)
	if err != nil {
		return reply{}, err
	}
	longest, err := a.tell(ctx, &m)
	if err != nil {
		return reply{}, err
	}
	if longest > 0 {
		return reply{"METADATA LONGENTRIES " + strconv.Itoa(longest), "longer ones were left out"}, nil
	}
	return reply{}, nil
}

// tell sends METADATA responses, if there is anything to tell, and gives the
// length of the longest value that was left out. Nothing is told twice, and a
// response ends when it is long, so that what is asked for a thousand times, or is
// large, is not held in memory.
func (a *annotated) tell(ctx context.Context, m *imap.Metadata) (longest int, err error) {
	out := &a.c.out
	asked, told := map[string]bool{}, map[string]bool{}
	var b []byte // nil while no response is begun
	for _, entry := range m.Entries {
		if a.isAsked(asked, entry, m.Depth) {
			continue
		}
		asked[entry] = true
		found, err := a.find(ctx, entry, m.Depth)
		if err != nil {
			return 0, err // what was appended is not sent
		}
		for _, v := range found {
			if told[v.Entry] {
				continue
			}
			told[v.Entry] = true
			if m.MaxSize >= 0 && int64(len(v.Text)) > m.MaxSize {
				longest = max(longest, len(v.Text))
				continue
			}
			if b == nil {
				b = a.begin()
			} else {
				b = append(b, ' ')
			}
			if b = appendValue(b, v); len(b) >= largePage {
				out.end(append(b, ")\r\n"...))
				b = nil
			}
		}
		if out.err != nil {
			return 0, out.err
		}
	}
	if b != nil {
		out.end(append(b, ")\r\n"...))
	}
	return longest, nil
}

// isAsked says that all there is of an entry was asked for with another.
func (a *annotated) isAsked(asked map[string]bool, entry string, depth int) bool {
	for i := len(entry); i > 0; i = strings.LastIndexByte(entry[:i], '/') {
		if asked[entry[:i]] {
			return true
		}
		if depth != imap.MaxDepth {
			break
		}
	}
	return false
}

// begin begins a response.
func (a *annotated) begin() []byte {
	b := append(a.c.out.line(), "* METADATA "...)
	if a.name == "" {
		b = append(b, `""`...)
	} else {
		b = imap.AppendMailbox(b, a.name, a.c.utf8Names())
	}
	return append(b, " ("...)
}

func appendValue(b []byte, v imap.Value) []byte {
	b = append(imap.AppendAString(b, v.Entry), ' ')
	switch {
	case v.None:
		return append(b, "NIL"...)
	case strings.IndexByte(v.Text, 0) >= 0:
		return append(imap.AppendLiteral(append(b, '~'), int64(len(v.Text))), v.Text...)
	}
	return imap.AppendString(b, v.Text)
}

// find gives an entry, which may have no value, and those below it.
func (a *annotated) find(ctx context.Context, entry string, depth int) (found []imap.Value, err error) {
	o := a.owner(entry)
	value, err := o.notes.Get(ctx, o.prefix+entry)
	switch {
	case entry == specialUseEntry && a.mb != nil:
		use := a.mb.Info().SpecialUse
		found = append(found, imap.Value{Entry: entry, Text: use, None: use == ""})
	case err == nil:
		found = append(found, imap.Value{Entry: entry, Text: string(value)})
	case !errors.Is(err, engine.ErrNotFound):
		return nil, err
	case depth == 0:
		found = append(found, imap.Value{Entry: entry, None: true})
	}
	if depth == 0 {
		return found, nil
	}
	notes, err := o.notes.All(ctx, o.prefix+entry+"/")
	for _, n := range notes {
		name := n.Key[len(o.prefix):]
		if strings.Count(name[len(entry):], "/") <= depth {
			found = append(found, imap.Value{Entry: name, Text: string(n.Value)})
		}
	}
	return found, err
}

// setMetadata is SETMETADATA, RFC 5464 section 4.3: all of it or nothing.
func (c *conn) setMetadata(ctx context.Context, cmd *imap.Command) (reply, error) {
	name, values := cmd.Args.SetMetadata()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	a, err := c.annotated(ctx, name)
	if err != nil {
		return reply{}, err
	}
	tx := c.server.o.Store.Begin()
	for _, v := range values {
		if err := a.maySet(v); err != nil {
			return reply{}, err
		}
		o := a.owner(v.Entry)
		if v.None {
			tx.PutNote(o.notes, o.prefix+v.Entry, nil)
		} else {
			tx.PutNote(o.notes, o.prefix+v.Entry, append([]byte{}, v.Text...))
		}
	}
	for _, tree := range [...]string{"/private/", "/shared/"} {
		if err := a.room(ctx, tree, values); err != nil {
			return reply{}, err
		}
	}
	if _, err = tx.Commit(ctx); err == nil {
		c.post(a.mb, values)
	}
	return reply{}, err
}

// maySet says why a value cannot be set.
func (a *annotated) maySet(v imap.Value) error {
	shared := strings.HasPrefix(v.Entry, "/shared/")
	switch {
	case a.mb == nil && shared && !a.c.isAdmin():
		return no("NOPERM", "only administrators annotate the server for all")
	case a.mb != nil && shared && !a.mb.RightsOf(a.c.account.Name(), a.c.groups...).Has(store.MayWrite):
		return errNoRight
	case v.Entry == specialUseEntry && a.mb != nil:
		return no("CANNOT", "the special use is set by CREATE")
	case len(v.Text) > maxValue:
		return no("METADATA MAXSIZE "+strconv.Itoa(maxValue), "the value is too long")
	}
	return nil
}

// room says whether values leave no more annotations in a tree than there may be.
func (a *annotated) room(ctx context.Context, tree string, values []imap.Value) error {
	values = slices.DeleteFunc(slices.Clone(values), func(v imap.Value) bool { return !strings.HasPrefix(v.Entry, tree) })
	if !slices.ContainsFunc(values, func(v imap.Value) bool { return !v.None }) {
		return nil
	}
	o := a.owner(tree)
	notes, err := o.notes.All(ctx, o.prefix)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(notes)+len(values))
	for _, n := range notes {
		there[n.Key[len(o.prefix):]] = true
	}
	for _, v := range values {
		if there[v.Entry] = true; v.None {
			delete(there, v.Entry)
		}
	}
	if len(there) > max(len(notes), maxAnnotations) {
		return no("METADATA TOOMANY", "there are too many annotations")
	}
	return nil
}

// tellMetadataOf sends the METADATA of a mailbox that LIST lists, RFC 9590.
func (c *conn) tellMetadataOf(ctx context.Context, name string, entries []string) error {
	a, err := c.annotated(ctx, name)
	if err != nil {
		return nil // it has gone since, or may not be read
	}
	_, err = a.tell(ctx, &imap.Metadata{MaxSize: -1, Entries: entries})
	return err
}
