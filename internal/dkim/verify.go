package dkim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/dns"
)

// Status is what a signature comes to, RFC 8601 section 2.7.1.
type Status string

// The results.
const (
	Pass      Status = "pass"
	Fail      Status = "fail"      // it does not fit the message, or ran out
	Policy    Status = "policy"    // it fits, but we take no such signature
	Neutral   Status = "neutral"   // it is no signature that could be checked
	TempError Status = "temperror" // its key could not be asked for
	PermError Status = "permerror" // it can never be checked
)

// Result is what one signature comes to.
type Result struct {
	Status    Status
	Reason    string // one sentence for people
	Domain    string // d=, in lower case
	Selector  string // s=
	Identity  string // i=, or its default
	Algorithm Algorithm
	Bits      int    // of the key; 0 if it was not found
	Testing   bool   // the domain says that it only tries
	Signature string // the beginning of b=, as RFC 6008 tells signatures apart
}

// ahead is how much the clock of a signer may be ahead of ours.
const ahead = time.Hour

// MaxSignatures bounds how many signatures of a message are checked.
const MaxSignatures = 10

// Verifier checks signatures.
type Verifier struct {
	Resolver dns.Resolver
	Now      func() time.Time
}

// Verify checks the signatures of a message, from the top. No result means that
// there is none; the error is one of reading.
func (v *Verifier) Verify(ctx context.Context, m *Message) ([]Result, error) {
	var out []Result
	for _, f := range m.Fields {
		if !strings.EqualFold(f.Name, "DKIM-Signature") {
			continue
		}
		if len(out) == MaxSignatures {
			break
		}
		r, err := v.one(ctx, m, f)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (v *Verifier) one(ctx context.Context, m *Message, f Field) (Result, error) {
	sig, err := ParseSignature(f.Raw)
	r := Result{Status: PermError, Domain: sig.Domain, Selector: sig.Selector, Identity: sig.Identity, Algorithm: sig.Algorithm}
	if text := withoutSpace(sig.tags["b"]); text != "" {
		r.Signature = text[:min(len(text), 8)]
	}
	if err == nil {
		err = sig.Acceptable(v.Now())
	}
	var key Key
	if err == nil {
		key, err = LookupKey(ctx, v.Resolver, sig.Domain, sig.Selector)
		r.Bits, r.Testing = key.Bits, key.Testing
	}
	if at := strings.LastIndexByte(sig.Identity, '@'); err == nil && key.Strict && sig.Identity[at+1:] != sig.Domain {
		err = refuse(PermError, "the key is only for %s itself, not for %s", sig.Domain, sig.Identity)
	}
	if err == nil {
		err = sig.Check(m, f.Raw, key)
	}
	if err != nil {
		if !IsVerdict(err) {
			return r, err
		}
		r.Status, r.Reason = StatusOf(err), err.Error()
		return r, nil
	}
	r.Status, r.Reason = Pass, fmt.Sprintf("signed by %s with the key %s, %s, %d bits", sig.Domain, sig.Selector, sig.Algorithm, key.Bits)
	return r, nil
}

// Signature is a parsed DKIM-Signature or ARC-Message-Signature.
type Signature struct {
	Domain, Selector string
	Identity         string // of DKIM
	Instance         int    // of ARC
	Algorithm        Algorithm
	Header, Body     Canon
	Names            []string // the fields that are signed
	Time, Expires    int64    // seconds since 1970; 0 for none
	partial          bool     // l= leaves part of the body unsigned
	bodyHash, sig    []byte
	tags             Tags
}

// ParseSignature reads a signature field, RFC 6376 section 3.5, or 4.1.2 of RFC
// 8617 for ARC, where i= is a number and there is no v=.
func ParseSignature(raw []byte) (Signature, error) {
	var s Signature
	name, value, _ := strings.Cut(string(raw), ":")
	arc := strings.EqualFold(strings.TrimRight(name, " \t"), "ARC-Message-Signature")
	tags, err := ParseTags(value)
	if err != nil {
		return s, refuse(PermError, "%v", err)
	}
	s.tags = tags
	s.Domain, s.Selector = lower(tags["d"]), tags["s"]
	s.Algorithm = Algorithm(lower(tags["a"]))
	if v := tags["v"]; !arc && v != "1" {
		return s, refuse(Neutral, "version %q is unknown", v)
	}
	for _, need := range []string{"a", "b", "bh", "d", "h", "s"} {
		if tags[need] == "" {
			return s, refuse(PermError, "the tag %s is missing", need)
		}
	}
	if s.sig, err = tags.Bytes("b"); err == nil {
		s.bodyHash, err = tags.Bytes("bh")
	}
	if err == nil {
		err = s.canons(tags["c"])
	}
	if err == nil {
		err = s.times()
	}
	if err == nil && arc {
		s.Instance, err = ParseInstance(tags["i"])
	} else if err == nil {
		err = s.identify(tags["i"])
	}
	if err != nil {
		return s, refuse(PermError, "%v", err)
	}
	s.Names = tags.List("h")
	if !slices.ContainsFunc(s.Names, func(n string) bool { return strings.EqualFold(n, "From") }) && !arc {
		return s, refuse(PermError, "it does not cover From")
	}
	_, s.partial = tags["l"]
	return s, nil
}

// ParseInstance reads the i= of ARC, RFC 8617 section 4.2.1.
func ParseInstance(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 50 {
		return 0, fmt.Errorf("%q is no instance number", text)
	}
	return n, nil
}

func (s *Signature) canons(text string) error {
	header, body, _ := strings.Cut(lower(text), "/")
	for _, x := range []struct {
		text string
		to   *Canon
	}{{header, &s.Header}, {body, &s.Body}} {
		switch x.text {
		case "", "simple":
			*x.to = Simple
		case "relaxed":
			*x.to = Relaxed
		default:
			return fmt.Errorf("canonicalisation %q is unknown", text)
		}
	}
	return nil
}

func (s *Signature) times() error {
	for _, x := range []struct {
		tag string
		to  *int64
	}{{"t", &s.Time}, {"x", &s.Expires}} {
		text, ok := s.tags[x.tag]
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%s=%q is no time", x.tag, text)
		}
		*x.to = n
	}
	if s.Time != 0 && s.Expires != 0 && s.Expires <= s.Time {
		return errors.New("it runs out before it begins")
	}
	return nil
}

func (s *Signature) identify(text string) error {
	if s.Identity = text; text == "" {
		s.Identity = "@" + s.Domain
		return nil
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 || !isBelow(lower(text[at+1:]), s.Domain) {
		return fmt.Errorf("i=%s is not within d=%s", text, s.Domain)
	}
	s.Identity = text[:at+1] + lower(text[at+1:])
	return nil
}

// Acceptable says whether a signature is of a kind that we take.
func (s *Signature) Acceptable(now time.Time) error {
	switch {
	case s.Algorithm == "rsa-sha1":
		return refuse(Policy, "SHA-1 counts for nothing")
	case s.Algorithm != RSASHA256 && s.Algorithm != Ed25519SHA256:
		return refuse(Neutral, "the algorithm %q is unknown", s.Algorithm)
	case s.tags["q"] != "" && !slices.ContainsFunc(s.tags.List("q"), func(q string) bool { return lower(q) == "dns/txt" }):
		return refuse(Neutral, "its key is not in DNS")
	case s.Expires != 0 && now.Unix() > s.Expires:
		return refuse(Fail, "it ran out at %s", time.Unix(s.Expires, 0).UTC().Format(time.RFC3339))
	case s.Time > now.Add(ahead).Unix():
		return refuse(Fail, "it is of a time to come, %s", time.Unix(s.Time, 0).UTC().Format(time.RFC3339))
	case s.partial:
		return refuse(Policy, "it covers only part of the body, to which anybody can add")
	case !isDomain(s.Domain) || !isDomain(s.Selector):
		return refuse(PermError, "%.100q is no place of a key", s.Selector+"._domainkey."+s.Domain)
	}
	return nil
}

// isDomain says that a name can be asked for.
func isDomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return len(name) <= 253
}

// Check says whether the signature, which stands in raw, fits the message.
func (s *Signature) Check(m *Message, raw []byte, key Key) error {
	hash, err := m.BodyHash(s.Body)
	if err != nil {
		return err
	}
	if string(hash) != string(s.bodyHash) {
		return refuse(Fail, "the body was changed: its hash is %s", base64.StdEncoding.EncodeToString(hash))
	}
	return key.Verify(s.Algorithm, HeaderHash(s.Header, m.Pick(s.Names), raw), s.sig)
}

// HeaderHash is the SHA-256 over fields and the signature field itself, whose
// b= counts as empty, RFC 6376 section 3.7.
func HeaderHash(c Canon, fields []Field, own []byte) []byte {
	h := sha256.New()
	var line []byte
	for _, f := range fields {
		line = append(c.AppendField(line[:0], f.Raw), '\r', '\n')
		h.Write(line)
	}
	h.Write(c.AppendField(line[:0], cutSignature(own)))
	return h.Sum(nil)
}
