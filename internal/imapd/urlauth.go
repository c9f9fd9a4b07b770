package imapd

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// urlMechanism is the one way of proving that a URL may be used.
const urlMechanism = "INTERNAL"

// urlKey is the note of a mailbox that holds its owner's access key, RFC 4467
// section 3. Others who may read it have keys of their own, with their names.
const urlKey = "urlauth/key"

func (c *conn) urlKey(mb *store.Mailbox) string {
	if mb.Account().Name() == c.account.Name() {
		return urlKey
	}
	return urlKey + "/" + c.account.Name()
}

// maxURLs of one URLFETCH or GENURLAUTH.
const maxURLsAtOnce = 100

// genURLAuth is GENURLAUTH, RFC 4467 section 7: who may read a mailbox lets whoever
// the URL says read what it names, without a password, as long as it may itself.
func (c *conn) genURLAuth(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var rumps []string
	for first := true; first || !s.Done(); first = false {
		s.SP()
		rumps = append(rumps, s.AString())
		s.SP()
		if mechanism := s.Word(); mechanism != urlMechanism {
			s.Fail("only the mechanism %s is known", urlMechanism)
		}
		if len(rumps) > maxURLsAtOnce {
			s.Fail("more than %d URLs", maxURLsAtOnce)
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	proven := make([]string, len(rumps))
	for i, rump := range rumps {
		u, err := imap.ParseURL(rump)
		switch {
		case err != nil:
			return reply{}, bad(err)
		case u.Rump != rump || u.Host == "":
			return reply{}, bad(errors.New("a URL with its host that ends with ;URLAUTH= and an access is wanted"))
		case u.User != c.account.Name():
			return reply{}, badURL(rump, "it is not of this user")
		}
		key, err := c.urlKeyOf(ctx, u.Mailbox)
		if err != nil {
			return reply{}, err
		}
		proven[i] = rump + ":internal:" + urlToken(key, rump)
	}
	b := append(c.out.line(), "* GENURLAUTH"...)
	for _, url := range proven {
		b = imap.AppendString(append(b, ' '), url)
	}
	c.out.end(append(b, '\r', '\n'))
	return reply{}, nil
}

// urlKeyOf gives the access key of a mailbox, which is made at first use.
func (c *conn) urlKeyOf(ctx context.Context, name string) (key []byte, err error) {
	mb, err := c.mailbox(ctx, name, store.MayRead)
	if err != nil {
		return nil, err
	}
	if !mb.RightsOf(c.account.Name()).Has(store.MayLookup | store.MayRead) { // when the URL is used, groups are not asked for
		return nil, no("NOPERM", "the right to read it is that of a group, which cannot be passed on")
	}
	note := c.urlKey(mb)
	if key, err = mb.Notes().Get(ctx, note); !errors.Is(err, engine.ErrNotFound) {
		return key, err
	}
	err = mb.Notes().Update(ctx, note, func(old []byte) ([]byte, error) {
		if key = old; key == nil {
			key = make([]byte, sha256.Size)
			rand.Read(key)
		}
		return key, nil
	})
	return key, err
}

func urlToken(key []byte, rump string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(rump))
	return hex.EncodeToString(h.Sum(nil))
}

// resetKey is RESETKEY, RFC 4467 section 7: what the user allowed is not any more,
// in one mailbox or in all.
func (c *conn) resetKey(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var boxes []*store.Mailbox
	if s.Done() {
		infos, err := c.reachable(ctx, []string{"*"})
		if err != nil {
			return reply{}, err
		}
		for _, info := range infos {
			if mb, err := c.mailbox(ctx, info.Name, 0); err == nil {
				boxes = append(boxes, mb)
			}
		}
		return reply{}, c.dropKeys(ctx, boxes)
	}
	s.SP()
	name := s.Mailbox()
	for !s.Done() {
		s.SP()
		if mechanism := s.Word(); mechanism != urlMechanism {
			s.Fail("only the mechanism %s is known", urlMechanism)
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	mb, err := c.mailbox(ctx, name, 0)
	if err != nil {
		return reply{}, err
	}
	return reply{"URLMECH " + urlMechanism, "what was allowed by URLs is not any more"}, c.dropKeys(ctx, []*store.Mailbox{mb})
}

func (c *conn) dropKeys(ctx context.Context, boxes []*store.Mailbox) error {
	t := c.server.o.Store.Begin()
	for _, mb := range boxes {
		t.PutNote(mb.Notes(), c.urlKey(mb), nil)
	}
	_, err := t.Commit(ctx)
	return err
}

// urlFetch is URLFETCH, RFC 4467 section 7. A URL that may not be used, or that
// names nothing, is answered with NIL, whatever the reason.
func (c *conn) urlFetch(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var urls []string
	for first := true; first || !s.Done(); first = false {
		s.SP()
		if urls = append(urls, s.AString()); len(urls) > maxURLsAtOnce {
			s.Fail("more than %d URLs", maxURLsAtOnce)
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	for _, url := range urls {
		if err := c.tellURL(ctx, url); err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

// tellURL sends what a URL names.
func (c *conn) tellURL(ctx context.Context, url string) error {
	m := reading{server: c.server}
	defer m.close()
	p, err := c.byProvenURL(ctx, &m, url)
	b := append(c.out.line(), "* URLFETCH "...)
	b = append(imap.AppendString(b, url), ' ')
	switch {
	case errors.Is(err, errNoPart):
		c.out.end(append(b, "NIL\r\n"...))
		return c.out.err
	case err != nil:
		return err // what was appended is not sent
	}
	c.out.end(imap.AppendLiteral(b, p.n))
	if err := p.copy(&c.out); err != nil {
		c.server.o.Log.Error("imap: a message broke while it was sent", "conn", c.id, "err", err)
		c.record(errorEvent(err))
		return errLeave
	}
	c.out.end(append(c.out.line(), '\r', '\n'))
	return c.out.err
}

// byProvenURL opens what a URL names if its proof is good; else errNoPart.
func (c *conn) byProvenURL(ctx context.Context, m *reading, url string) (piece, error) {
	u, err := imap.ParseURL(url)
	if err != nil || u.Mechanism != urlMechanism || !c.mayUse(&u) {
		return piece{}, errNoPart
	}
	granter, err := c.server.o.Store.Existing(ctx, u.User)
	if err != nil {
		return piece{}, missing(err, store.ErrNoAccount)
	}
	as := conn{server: c.server, account: granter} // who must be allowed to read it still
	mb, err := as.mailbox(ctx, u.Mailbox, store.MayRead)
	if err != nil {
		return piece{}, errNoPart
	}
	key, err := mb.Notes().Get(ctx, as.urlKey(mb))
	if err != nil {
		return piece{}, missing(err, engine.ErrNotFound)
	}
	if !hmac.Equal([]byte(strings.ToLower(u.Token)), []byte(urlToken(key, u.Rump))) {
		return piece{}, errNoPart
	}
	return m.byURL(ctx, mb, u)
}

// missing makes an error that says that something is not there errNoPart.
func missing(err, known error) error {
	if errors.Is(err, known) || errors.Is(err, store.ErrGone) {
		return errNoPart
	}
	return err
}

// mayUse says that a URL's access is for this user, and now. Nobody here acts
// for a submission server, which "submit+" asks for.
func (c *conn) mayUse(u *imap.URL) bool {
	if !u.Expire.IsZero() && !c.server.o.Now().Before(u.Expire) {
		return false
	}
	kind, who, _ := strings.Cut(u.Access, "+")
	switch strings.ToLower(kind) {
	case "user":
		return who == c.account.Name()
	case "authuser", "anonymous":
		return true
	}
	return false
}
