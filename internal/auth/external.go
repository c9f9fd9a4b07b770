package auth

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"plic/internal/directory"
	"plic/internal/oauth"
	"plic/internal/sasl"
)

// certified are the names that the client's certificate gives it, if one of our
// authorities vouches for it: the mailboxes among its alternative names (rfc822Name,
// RFC 5280 section 4.2.1.6), else the common name of its subject.
func (a *Auth) certified(p Peer) []string {
	if a.o.ClientCAs == nil || p.TLS == nil || len(p.TLS.PeerCertificates) == 0 {
		return nil
	}
	leaf, between := p.TLS.PeerCertificates[0], x509.NewCertPool()
	for _, c := range p.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.o.ClientCAs, Intermediates: between, CurrentTime: a.o.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return nil
	}
	names := leaf.EmailAddresses
	if len(names) == 0 {
		names = []string{leaf.Subject.CommonName}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.Contains(name, "@") })
}

// external finds the account of a certificate: the one that the client asks for,
// if the certificate names it, else the first that there is.
func (x *Exchange) external(authz string) error {
	names := x.a.certified(x.p)
	if i := slices.IndexFunc(names, func(name string) bool { return key(name) == key(authz) }); i >= 0 {
		names = names[i : i+1]
	}
	for _, name := range names {
		t := x.begin(name)
		account, err := x.a.o.Directory.Account(x.ctx, name)
		switch {
		case errors.Is(err, directory.ErrNotFound):
			continue
		case err != nil:
			return t.end(ErrTemporary, "directory: "+err.Error())
		}
		t.as = "" // a certificate names one
		x.try, x.found = t, found{Account: account}
		return nil
	}
	x.found = found{}
	return x.begin(strings.Join(names, " ")).bad(directory.Account{}, "the certificate names no account")
}

// token decides on a token of OAuth 2.0.
func (x *Exchange) token(user, token string) (refusal []byte, err error) {
	t := x.begin(user)
	guess := x.a.cache.mac(user, "token", token)
	t.guess = &guess
	done, err := t.admit(x.ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	owner, err := x.a.o.Tokens.Check(x.ctx, token)
	if err != nil {
		if !errors.Is(err, oauth.ErrRefused) {
			return nil, t.end(ErrTemporary, "token: "+err.Error())
		}
		return x.a.o.Tokens.Refusal(x.mechanism == sasl.XBearer, err), t.bad(directory.Account{}, "token: "+err.Error())
	}
	account, err := x.a.o.Directory.Account(x.ctx, owner.Login)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return x.a.o.Tokens.Refusal(x.mechanism == sasl.XBearer, nil), t.bad(directory.Account{}, "the token is of "+cut(owner.Login)+", who has no account")
	case err != nil:
		return nil, t.end(ErrTemporary, "directory: "+err.Error())
	}
	t.login, t.as = account.Name, ""
	x.try, x.found = t, found{Account: account}
	return nil, nil
}
