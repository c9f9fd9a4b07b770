package dns

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// Update changes TXT records of a zone at its primary server, RFC 2136. The
// request is signed where Key is set (RFC 8945), and goes by TCP.
type Update struct {
	Server string // address, or address:port
	Zone   string // "" to try those that a name can be in, the longest first
	Key    TSIG
	// Dial opens a connection; network is "tcp".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Now  func() time.Time
}

// TSIG is a key that server and client share.
type TSIG struct {
	Name      string // "" for none
	Algorithm string // "hmac-sha256" if empty
	Secret    []byte
}

// updateTimeout bounds an update.
const updateTimeout = 30 * time.Second

// Set adds a TXT record beside those that the name has.
func (u Update) Set(ctx context.Context, name, text string, ttl time.Duration) error {
	return u.send(ctx, name, text, func(m *wire.Msg, rr wire.RR) {
		rr.Header().Ttl = uint32(ttl / time.Second)
		m.Insert([]wire.RR{rr})
	})
}

// Clear takes one TXT record away.
func (u Update) Clear(ctx context.Context, name, text string) error {
	return u.send(ctx, name, text, func(m *wire.Msg, rr wire.RR) { m.Remove([]wire.RR{rr}) })
}

func (u Update) send(ctx context.Context, name, text string, change func(*wire.Msg, wire.RR)) error {
	owner, err := wireName(name)
	if err != nil {
		return fmt.Errorf("update of %s: %w", name, err)
	}
	zones, err := u.zones(owner)
	if err != nil {
		return fmt.Errorf("update of %s: %w", name, err)
	}
	for _, zone := range zones {
		m := new(wire.Msg)
		m.SetUpdate(zone)
		change(m, &wire.TXT{Hdr: wire.RR_Header{Name: owner, Rrtype: wire.TypeTXT, Class: wire.ClassINET}, Txt: []string{text}})
		var code rcodeError
		if err = u.exchange(ctx, m); !errors.As(err, &code) || code != wire.RcodeNotAuth && code != wire.RcodeNotZone && code != wire.RcodeRefused {
			break // done, or trouble that another zone would not end
		}
	}
	if err != nil {
		return fmt.Errorf("update of %s at %s: %w", name, u.Server, err)
	}
	return nil
}

// zones are those that a name may be in.
func (u Update) zones(owner string) ([]string, error) {
	if u.Zone != "" {
		zone, err := wireName(u.Zone)
		if err == nil && !wire.IsSubDomain(zone, owner) {
			err = fmt.Errorf("it is not in the zone %s", u.Zone)
		}
		return []string{zone}, err
	}
	var zones []string
	for _, rest, ok := strings.Cut(owner, "."); ok && rest != ""; _, rest, ok = strings.Cut(rest, ".") {
		zones = append(zones, rest)
	}
	return zones, nil
}

// exchange sends an update and reads the answer, which must be signed if the
// update was.
func (u Update) exchange(ctx context.Context, m *wire.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	dial := u.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", ServerAddress(u.Server))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	c := &wire.Conn{Conn: conn}
	if u.Key.Name != "" {
		key, err := wireName(u.Key.Name)
		if err != nil {
			return err
		}
		now := time.Now
		if u.Now != nil {
			now = u.Now
		}
		m.SetTsig(key, wire.Fqdn(strings.ToLower(u.algorithm())), 300, now().Unix())
		c.TsigSecret = map[string]string{key: base64.StdEncoding.EncodeToString(u.Key.Secret)}
	}
	if err := c.WriteMsg(m); err != nil {
		return err
	}
	answer, err := c.ReadMsg()
	if err != nil {
		return err
	}
	switch {
	case answer.Id != m.Id:
		return errNotOurs
	case u.Key.Name != "" && answer.IsTsig() == nil && answer.Rcode == wire.RcodeSuccess:
		return errors.New("the answer is not signed")
	case answer.Rcode != wire.RcodeSuccess:
		return rcodeError(answer.Rcode)
	}
	return nil
}

func (u Update) algorithm() string {
	if u.Key.Algorithm == "" {
		return "hmac-sha256"
	}
	return u.Key.Algorithm
}

// ParseTSIG reads a key as name servers have it in their files:
//
//	key "acme.example.org" { algorithm hmac-sha256; secret "c2VjcmV0"; };
func ParseTSIG(text string) (TSIG, error) {
	var k TSIG
	words := strings.Fields(strings.NewReplacer("{", " ", "}", " ", ";", " ", `"`, " ").Replace(text))
	for i := 0; i+1 < len(words); i += 2 {
		var err error
		switch value := words[i+1]; words[i] {
		case "key":
			k.Name = strings.TrimSuffix(value, ".")
		case "algorithm":
			k.Algorithm = strings.ToLower(strings.TrimSuffix(value, "."))
		case "secret":
			k.Secret, err = base64.StdEncoding.DecodeString(value)
		default:
			err = fmt.Errorf("%q is not understood", words[i])
		}
		if err != nil {
			return TSIG{}, fmt.Errorf("TSIG key: %w", err)
		}
	}
	if k.Name == "" || len(k.Secret) == 0 {
		return TSIG{}, errors.New(`TSIG key: write key "name" { algorithm hmac-sha256; secret "…"; };`)
	}
	return k, nil
}
