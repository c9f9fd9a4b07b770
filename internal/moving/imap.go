package moving

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"time"

	"plic/internal/imap"
)

// IMAPOptions say how to reach an account on another server.
type IMAPOptions struct {
	Address  string // host:port
	TLS      string // "tls" from the start, "starttls", or "none"
	Config   *tls.Config
	User     string // who logs in
	Password string
	As       string // whose mail it is, if User is an administrator there
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Timeout  time.Duration // of each answer; 5 minutes
}

const fetchLetters = 50 // of one command

// imapSource is an account on a server.
type imapSource struct {
	o         IMAPOptions
	c         *client
	prefix    string // of all names of the account's own
	foreign   []string
	delimiter string
}

// IMAP logs in to a server and opens an account; nothing is changed there.
func IMAP(ctx context.Context, o IMAPOptions) (Source, error) {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Minute
	}
	s := &imapSource{o: o}
	if err := s.connect(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Address, err)
	}
	return s, nil
}

// Name names the source.
func (s *imapSource) Name() string {
	return "imap " + s.o.Address + " " + cmp.Or(s.o.As, s.o.User)
}

// Close logs out.
func (s *imapSource) Close() error {
	if s.c == nil {
		return nil
	}
	return s.c.close()
}

func (s *imapSource) connect(ctx context.Context) error {
	c, err := dialIMAP(ctx, &s.o)
	if err != nil {
		return err
	}
	if err := c.login(&s.o); err != nil {
		c.close()
		return err
	}
	s.c = c
	s.delimiter = "/"
	if c.has("NAMESPACE") {
		return c.command("NAMESPACE", func(l *reply) error {
			if l.word == "NAMESPACE" {
				s.namespace(l.rest)
			}
			return nil
		})
	}
	return nil
}

// namespace reads the first of the personal ones, and the prefixes of what is not
// the account's own, RFC 2342.
func (s *imapSource) namespace(rest []byte) {
	p := &items{text: rest}
	for kind := range 3 { // personal, of other users, shared
		for n, space := range spaces(p.value()) {
			switch prefix := decodeName(space.prefix); {
			case kind == 0 && n == 0:
				s.prefix, s.delimiter = prefix, cmp.Or(space.delimiter, s.delimiter)
			case kind > 0 && prefix != "":
				s.foreign = append(s.foreign, prefix)
			}
		}
		p.take(' ')
	}
}

// space is one namespace.
type space struct{ prefix, delimiter string }

// spaces takes those of one kind apart; none for NIL.
func spaces(list []byte) (all []space) {
	p := &items{text: list}
	if !p.take('(') {
		return nil
	}
	for p.take('(') {
		one := space{prefix: string(p.value())}
		p.take(' ')
		if one.delimiter = string(p.value()); one.delimiter == "NIL" {
			one.delimiter = ""
		}
		for p.err == nil && !p.take(')') { // extensions
			if !p.take(' ') {
				p.value()
			}
		}
		if p.err != nil {
			return all
		}
		all = append(all, one)
		p.take(' ')
	}
	return all
}

// Folders lists the mailboxes of the account's own.
func (s *imapSource) Folders(context.Context, func(*Bad)) ([]Folder, error) {
	var all []Folder
	ask := `LIST "" "*"`
	if s.c.has("SPECIAL-USE") && s.c.has("LIST-EXTENDED") {
		ask += " RETURN (SPECIAL-USE)"
	}
	err := s.c.command(ask, func(l *reply) error {
		if l.word == "LIST" {
			f, err := s.listed(l.rest)
			if err != nil {
				return err
			}
			if f != nil {
				all = append(all, *f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the mailboxes: %w", err)
	}
	subscribed := map[string]bool{}
	err = s.c.command(`LSUB "" "*"`, func(l *reply) error {
		if l.word == "LSUB" {
			if f, err := s.listed(l.rest); err == nil && f != nil {
				subscribed[f.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the subscriptions: %w", err)
	}
	slices.SortFunc(all, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	all = slices.CompactFunc(all, func(a, b Folder) bool { return a.Name == b.Name })
	for i := range all {
		f := &all[i]
		f.Subscribed = subscribed[f.Name]
		if f.NoSelect {
			continue
		}
		if err := s.status(f); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listed reads a LIST or LSUB response; nil for what is not the account's own.
func (s *imapSource) listed(rest []byte) (*Folder, error) {
	in := imap.NewScanner(rest, true)
	f := &Folder{}
	in.List(func() {
		// A flag may begin with a backslash, and is an atom behind it.
		switch flag := in.Flag(); strings.ToLower(flag) {
		case `\noselect`, `\nonexistent`:
			f.NoSelect = true
		case `\sent`, `\drafts`, `\junk`, `\trash`, `\archive`, `\important`:
			f.SpecialUse = strings.ToUpper(flag[:2]) + strings.ToLower(flag[2:])
		case `\all`, `\flagged`:
			f.place = "virtual"
		}
	})
	in.SP()
	delimiter, hierarchical := in.NString()
	in.SP()
	raw := in.AString()
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("LIST %q: %w", rest, err)
	}
	if f.place != "" { // of messages that are elsewhere too
		return nil, nil
	}
	f.place = raw
	name := decodeName(raw)
	if imap.IsInbox(name) {
		f.Name = "INBOX"
		return f, nil
	}
	inner, own := strings.CutPrefix(name, s.prefix)
	for _, prefix := range s.foreign {
		own = own && (!strings.HasPrefix(name, prefix) || len(prefix) < len(s.prefix))
	}
	if !own {
		return nil, nil // somebody else's, or public
	}
	if hierarchical && delimiter != "/" {
		inner = strings.ReplaceAll(strings.ReplaceAll(inner, "/", "_"), delimiter, "/")
	}
	f.Name = inner
	return f, nil
}

// status asks how large a mailbox is.
func (s *imapSource) status(f *Folder) error {
	text := append([]byte("STATUS "), imap.AppendAString(nil, f.place)...)
	err := s.c.command(string(text)+" (MESSAGES UIDVALIDITY UIDNEXT)", func(l *reply) error {
		if l.word != "STATUS" {
			return nil
		}
		in := imap.NewScanner(l.rest, true)
		in.AString()
		in.SP()
		in.List(func() {
			item := in.Word()
			in.SP()
			n := in.Number()
			switch item {
			case "MESSAGES":
				f.Messages = int(n)
			case "UIDVALIDITY":
				f.UIDValidity = n
			case "UIDNEXT":
				f.UIDNext = n
			}
		})
		return in.Err()
	})
	var no *noError
	if errors.As(err, &no) {
		return nil // Letters will say why
	}
	return err
}

// Letters gives the messages of a mailbox by rising UID.
func (s *imapSource) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		uids, err := s.examine(f)
		if err != nil {
			var no *noError
			if errors.As(err, &no) {
				err = &Bad{Name: f.Name, Err: err}
			}
			yield(Letter{}, err)
			return
		}
		var want []uint32
		for _, uid := range uids {
			if !known(s.key(f, uid)) {
				want = append(want, uid)
			}
		}
		for len(want) > 0 {
			n := min(len(want), fetchLetters)
			if !s.some(ctx, f, want[:n], yield) {
				return
			}
			want = want[n:]
		}
	}
}

func (s *imapSource) key(f *Folder, uid uint32) uint64 {
	return keyOf(fmt.Sprint(f.UIDValidity), fmt.Sprint(uid))
}

// examine opens a mailbox and lists its UIDs.
func (s *imapSource) examine(f *Folder) (uids []uint32, err error) {
	count := uint32(0)
	err = s.c.command("EXAMINE "+string(imap.AppendAString(nil, f.place)), func(l *reply) error {
		switch {
		case l.word == "EXISTS":
			count = l.number
		case l.code == "UIDVALIDITY":
			f.UIDValidity = l.codeNumber
		case l.code == "UIDNEXT":
			f.UIDNext = l.codeNumber
		}
		return nil
	})
	if err != nil || count == 0 {
		return nil, err
	}
	err = s.c.command("UID FETCH 1:* (UID)", func(l *reply) error {
		if l.word == "FETCH" {
			m, err := parseFetch(l)
			if err != nil {
				return err
			}
			uids = append(uids, m.UID)
		}
		return nil
	})
	slices.Sort(uids)
	return slices.Compact(uids), err
}

// some fetches messages in one command; what is missing then, each by itself.
func (s *imapSource) some(ctx context.Context, f *Folder, uids []uint32, yield func(Letter, error) bool) bool {
	got := map[uint32]bool{}
	more := true
	give := func(m Letter, err error) {
		if more {
			more = yield(m, err)
		}
	}
	fetch := func(set string) error {
		return s.c.command("UID FETCH "+set+" (UID FLAGS INTERNALDATE BODY.PEEK[])", func(l *reply) error {
			if l.word != "FETCH" || ctx.Err() != nil {
				return ctx.Err()
			}
			m, err := parseFetch(l)
			if err != nil || m.Text == nil || got[m.UID] {
				return nil // flags that changed, or what is asked for again
			}
			if _, asked := slices.BinarySearch(uids, m.UID); !asked {
				return nil
			}
			got[m.UID] = true
			m.Key, m.Name = s.key(f, m.UID), fmt.Sprintf("%s, UID %d", f.Name, m.UID)
			give(m, nil)
			return nil
		})
	}
	err := fetch(setOf(uids))
	var no *noError
	if err != nil && !errors.As(err, &no) {
		give(Letter{}, err)
		return false
	}
	for _, uid := range uids {
		if got[uid] || !more {
			continue
		}
		err := fetch(fmt.Sprint(uid))
		switch {
		case errors.As(err, &no):
			give(Letter{}, &Bad{Name: fmt.Sprintf("%s, UID %d", f.Name, uid), Err: err})
		case err != nil:
			give(Letter{}, err)
			return false
		case !got[uid] && s.there(uid):
			give(Letter{}, &Bad{Name: fmt.Sprintf("%s, UID %d", f.Name, uid), Err: errors.New("the server gives no text of it")})
		}
	}
	return more
}

// there says that a message was not expunged meanwhile.
func (s *imapSource) there(uid uint32) (is bool) {
	err := s.c.command(fmt.Sprintf("UID FETCH %d (UID)", uid), func(l *reply) error {
		is = is || l.word == "FETCH"
		return nil
	})
	return is || err != nil
}

// setOf writes UIDs that rise as a sequence set.
func setOf(uids []uint32) string {
	var b strings.Builder
	for i := 0; i < len(uids); {
		j := i
		for j+1 < len(uids) && uids[j+1] == uids[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		if fmt.Fprint(&b, uids[i]); j > i {
			fmt.Fprintf(&b, ":%d", uids[j])
		}
		i = j + 1
	}
	return b.String()
}
