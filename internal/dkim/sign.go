package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer makes signatures for a domain.
type Signer struct {
	Domain, Selector string
	Key              crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
	Header, Body     Canon
	Lifetime         time.Duration // until x=; 0 for ever
	Now              func() time.Time
}

// Signed are the fields that are signed where they are there; those of Sealed
// are signed once more than they are there, so that none can be added.
var (
	signed = []string{"Sender", "In-Reply-To", "References",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post", "List-Owner", "List-Archive",
		"Resent-From", "Resent-To", "Resent-Date", "Resent-Message-ID"}
	sealed = []string{"From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
)

// Names are the fields of a message to sign, RFC 6376 section 5.4.1.
func (m *Message) Names() []string {
	count := map[string]int{}
	for _, f := range m.Fields {
		count[lower(f.Name)]++
	}
	var names []string
	for _, name := range sealed {
		names = append(names, slices.Repeat([]string{name}, count[lower(name)]+1)...)
	}
	for _, name := range signed {
		names = append(names, slices.Repeat([]string{name}, count[lower(name)])...)
	}
	return names
}

// Algorithm is the algorithm of a key.
func algorithm(key crypto.Signer) (Algorithm, error) {
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 1024 {
			return "", errors.New("an RSA key of less than 1024 bits is too weak")
		}
		return RSASHA256, nil
	case ed25519.PublicKey:
		return Ed25519SHA256, nil
	}
	return "", fmt.Errorf("keys of type %T are not for DKIM", key)
}

// Sign gives the signature field of a message, folded, with its line end.
func (s *Signer) Sign(m *Message) ([]byte, error) {
	return s.SignAs(m, "DKIM-Signature", "v=1", m.Names())
}

// SignAs is Sign for a field of another name, whose first tag is given; ARC
// signs so.
func (s *Signer) SignAs(m *Message, field, first string, names []string) ([]byte, error) {
	hash, err := m.BodyHash(s.Body)
	if err != nil {
		return nil, err
	}
	tags := []string{
		first, "c=" + s.Header.String() + "/" + s.Body.String(), "d=" + s.Domain, "s=" + s.Selector,
	}
	tags = append(tags, s.times()...)
	tags = append(tags, "h="+strings.Join(names, ":"), "bh="+base64.StdEncoding.EncodeToString(hash))
	return s.Seal(field, tags, s.Header, m.Pick(names))
}

func (s *Signer) times() []string {
	now := s.Now()
	tags := []string{"t=" + strconv.FormatInt(now.Unix(), 10)}
	if s.Lifetime > 0 {
		tags = append(tags, "x="+strconv.FormatInt(now.Add(s.Lifetime).Unix(), 10))
	}
	return tags
}

// Seal signs fields and its own tags, and gives the whole field.
func (s *Signer) Seal(field string, tags []string, c Canon, fields []Field) ([]byte, error) {
	a, err := algorithm(s.Key)
	if err != nil {
		return nil, err
	}
	tags = slices.Insert(slices.Clone(tags), 1, "a="+string(a))
	text := fold(field+":", append(tags, "b="))
	hash := HeaderHash(c, fields, []byte(text))
	var opts crypto.SignerOpts = crypto.SHA256
	if a == Ed25519SHA256 {
		opts = crypto.Hash(0) // the hash is the message, RFC 8463 section 3
	}
	sig, err := s.Key.Sign(rand.Reader, hash, opts)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", s.Domain, err)
	}
	b := []byte(text)
	for i, c := range []byte(base64.StdEncoding.EncodeToString(sig)) {
		if i%72 == 0 {
			b = append(b, "\r\n\t"...)
		}
		b = append(b, c)
	}
	return append(b, '\r', '\n'), nil
}

// fold writes tags in lines of at most 78 octets where it can: between tags,
// after a colon of h=, and anywhere in base64.
func fold(head string, tags []string) string {
	var b strings.Builder
	b.WriteString(head)
	column := len(head)
	put := func(piece string) {
		if column+1+len(piece) > 78 && column > 1 {
			b.WriteString("\r\n\t")
			column = 1
		}
		b.WriteString(piece)
		column += len(piece)
	}
	for i, tag := range tags {
		if i < len(tags)-1 {
			tag += ";"
		}
		if !strings.HasPrefix(tag, "h=") {
			put(" " + tag)
			continue
		}
		for j, name := range strings.SplitAfter(tag, ":") {
			if j == 0 {
				name = " " + name
			}
			put(name)
		}
	}
	return b.String()
}

// ReadKey reads a private key in PEM: PKCS #8, or PKCS #1 for RSA.
func ReadKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it holds no PEM block")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it holds no key in PKCS #8 or PKCS #1: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("keys of type %T are not for DKIM", key)
}
