package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/acme"
)

// nonceTries is how often an order is sent for which the authority wants a newer
// nonce, RFC 8555 section 6.5.
const nonceTries = 10

// newOrder orders a certificate for names. It says which one that replaces, if the
// authority has renewal information (RFC 9773 section 5), since such orders pass
// limits; an authority that does not take it gets the order without.
func (m *Manager) newOrder(ctx context.Context, c *acme.Client, names []string) (*acme.Order, error) {
	order, err := m.replace(ctx, c, names)
	if err != nil && ctx.Err() == nil {
		m.o.Log.Warn("the order does not say which certificate it replaces: the authority does not take that", "from", m.o.Directory, "error", err)
	}
	if order != nil {
		return order, nil
	}
	return c.AuthorizeOrder(ctx, acme.DomainIDs(names...))
}

// replace orders a certificate in place of the one there is; nil if that cannot
// be said. The library has no word for it, so that the request is made here.
func (m *Manager) replace(ctx context.Context, c *acme.Client, names []string) (*acme.Order, error) {
	cert := m.Certificate()
	if cert == nil || CertID(cert.Leaf) == "" {
		return nil, nil
	}
	dir, err := m.directory(ctx)
	if err != nil || dir.RenewalInfo == "" {
		return nil, err
	}
	type identifier struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	}
	var wanted struct {
		Identifiers []identifier `json:"identifiers"`
		Replaces    string       `json:"replaces"`
	}
	for _, x := range acme.DomainIDs(names...) {
		wanted.Identifiers = append(wanted.Identifiers, identifier{x.Type, x.Value})
	}
	wanted.Replaces = CertID(cert.Leaf)
	text, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		header, err := m.post(ctx, c, dir, text)
		var refused *statusError
		switch {
		case err == nil:
			return c.GetOrder(ctx, header.Get("Location"))
		case try < nonceTries && errors.As(err, &refused) && strings.Contains(refused.text, ":badNonce"):
		default:
			return nil, err
		}
	}
}

// post sends a signed order, RFC 8555 sections 6.2 and 7.4.
func (m *Manager) post(ctx context.Context, c *acme.Client, dir directory, order []byte) (http.Header, error) {
	key, ok := c.Key.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("the key of the account: %w", errors.ErrUnsupported)
	}
	o := &jose.SignerOptions{NonceSource: m.nonces(ctx, dir.NewNonce)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: string(c.KID)}}, o.WithHeader("url", dir.NewOrder))
	if err != nil {
		return nil, err
	}
	signed, err := signer.Sign(order)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, dir.NewOrder, bytes.NewReader([]byte(signed.FullSerialize())))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/jose+json")
	header, _, err := m.send(r)
	return header, err
}

// nonces are those of the authority, RFC 8555 section 7.2.
type nonces func() (string, error)

// Nonce gets one.
func (f nonces) Nonce() (string, error) { return f() }

func (m *Manager) nonces(ctx context.Context, url string) nonces {
	return func() (string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
		if err != nil {
			return "", err
		}
		header, _, err := m.send(r)
		return header.Get("Replay-Nonce"), err
	}
}
