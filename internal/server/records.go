package server

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dane"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// Records tells what the DNS should say of our TLS.
func (x security) Records(ctx context.Context) iter.Seq2[control.Record, error] {
	return func(yield func(control.Record, error) bool) {
		records, err := x.records()
		if err != nil {
			yield(control.Record{}, err)
			return
		}
		for _, r := range records {
			r.Published = x.published(ctx, r)
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (x security) records() ([]control.Record, error) {
	c := x.s.config
	if x.s.settings != nil {
		c = x.s.settings()
	}
	keys, err := x.keys(c)
	if err != nil {
		return nil, err
	}
	var list []control.Record
	name := "_25._tcp." + c.Hostname.String()
	current := keys.leaf("").RawSubjectPublicKeyInfo
	list = append(list, control.Record{Name: name, Type: "TLSA", Value: tlsa(current), Why: "the key of the certificate that is shown now"})
	if c.TLS.Cert == "" {
		next, err := keys.next(current)
		if err != nil {
			return nil, err
		}
		list = append(list, control.Record{Name: name, Type: "TLSA", Value: tlsa(next), Why: "the key that comes after it: `plic tls rotate`", Later: true})
	}
	p, on := stsPolicy(c)
	for _, d := range x.s.domains() {
		if on {
			list = append(list, control.Record{Name: "_mta-sts." + d.Name.String(), Type: "TXT", Value: "v=STSv1; id=" + stsID(p),
				Why: fmt.Sprintf("the MTA-STS policy, which says %s; %s%s must lead to this host", p.Mode, stsHost, d.Name)})
		}
	}
	return list, nil
}

// keys are the certificates of the running server, or those that one would
// have.
func (x security) keys(c *config.Config) (*certificates, error) {
	if x.s.keys != nil {
		return x.s.keys, nil
	}
	return newCertificates(c, x.s.resolver.Fresh(), x.s.webHosts, x.s.log)
}

// Certificate tells which certificate is shown and when it is renewed.
func (x security) Certificate(context.Context) (control.Certificate, error) {
	c := x.s.config
	if x.s.settings != nil {
		c = x.s.settings()
	}
	keys, err := x.keys(c)
	if err != nil {
		return control.Certificate{}, err
	}
	return keys.describe(), nil
}

// next is the public key that comes after the current one.
func (k *certificates) next(current []byte) ([]byte, error) {
	key, err := pki.Next(vfs.Disk(), k.dir)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil || !bytes.Equal(public, current) {
		return public, err
	}
	// A rotation was cut off before it made the one after.
	if err := pki.Forget(vfs.Disk(), k.dir); err != nil {
		return nil, err
	}
	if key, err = pki.Next(vfs.Disk(), k.dir); err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// tlsa is the value of a record of a public key, RFC 7671 section 5.1.
func tlsa(public []byte) string {
	sum := crypto.SHA256.New()
	sum.Write(public)
	return dane.Record{Usage: dane.EE, Selector: dane.PublicKey, Matching: dane.SHA256, Data: sum.Sum(nil)}.String()
}

// published says whether the DNS has a record.
func (x security) published(ctx context.Context, r control.Record) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if r.Type == "TXT" {
		texts, _, err := x.s.resolver.Fresh().TXT(ctx, r.Name)
		return err == nil && slices.ContainsFunc(texts, func(text string) bool { return text == r.Value || text == r.Value+";" })
	}
	found, _, err := x.s.resolver.Fresh().TLSA(ctx, r.Name)
	for _, t := range found {
		if err == nil && fmt.Sprintf("%d %d %d %s", t.Usage, t.Selector, t.Matching, hex.EncodeToString(t.Data)) == r.Value {
			return true
		}
	}
	return false
}

// Rotate goes over to the next key. Unless forced it wants to see the TLSA
// record of that key first, if there are records at all: senders that know only
// the old one would send nothing.
func (x security) Rotate(ctx context.Context, force bool) error {
	c := x.s.config
	if x.s.settings != nil {
		c = x.s.settings()
	}
	if c.TLS.Cert != "" {
		return errors.New("the certificate comes from the files of tls.cert and tls.key: whoever makes them changes the key")
	}
	records, err := x.records()
	if err != nil {
		return err
	}
	if _, _, err := x.s.resolver.Fresh().TLSA(ctx, records[0].Name); err == nil && !force && !x.published(ctx, records[1]) {
		return fmt.Errorf("the DNS has TLSA records at %s, but not the one of the next key: publish %s TLSA %s, wait until it is known everywhere, and try again", records[1].Name, records[1].Name, records[1].Value)
	}
	keys, err := x.keys(c)
	if err != nil {
		return err
	}
	if keys.acme != nil {
		err = keys.acme.Rotate(ctx)
	} else {
		_, err = pki.Rotate(vfs.Disk(), keys.dir, keys.hosts(c), time.Now())
	}
	if err != nil {
		return err
	}
	return keys.reload(c)
}
