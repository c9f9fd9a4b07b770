package foreign

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

// letters are bodies and headers that canonicalisations treat differently.
var letters = []string{
	"From: ann@example.org\r\nSubject: plain\r\n\r\nWords.\r\n",
	"From:  Ann \r\n\t<ann@example.org>  \r\nSUBJECT:  folded\r\n \t subject\r\nTo:bob@example.com\r\n\r\n \r\nA \t line \r\n\r\n\r\n",
	"From: ann@example.org\r\n\r\n",
	"From: ann@example.org\r\nReceived: by a\r\nReceived: by b\r\nX-Empty:\r\n\r\nno line end",
}

// TestDKIMBothWays signs with go-msgauth and checks with ours, and the other
// way round.
func TestDKIMBothWays(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{rsaKey, edKey} {
		record, err := dkim.Record(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		zone := dnstest.New(t, `s._domainkey.example.org 60 IN TXT "`+record[:40]+`" "`+record[40:]+`"`)
		for _, letter := range letters {
			for _, header := range []dkim.Canon{dkim.Simple, dkim.Relaxed} {
				for _, body := range []dkim.Canon{dkim.Simple, dkim.Relaxed} {
					oursByThem(t, key, record, letter, header, body)
					theirsByUs(t, key, zone, letter, header, body)
				}
			}
		}
	}
}

func read(t *testing.T, text string) *dkim.Message {
	t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func oursByThem(t *testing.T, key crypto.Signer, record, letter string, header, body dkim.Canon) {
	t.Helper()
	s := &dkim.Signer{Domain: "example.org", Selector: "s", Key: key, Header: header, Body: body, Now: time.Now}
	field, err := s.Sign(read(t, letter))
	if err != nil {
		t.Fatal(err)
	}
	found, err := msgauth.VerifyWithOptions(strings.NewReader(string(field)+letter), &msgauth.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
	})
	if err != nil || len(found) != 1 || found[0].Err != nil {
		t.Errorf("%v/%v, ours by them: %v %+v\n%s%s", header, body, err, found, field, letter)
	}
}

func theirsByUs(t *testing.T, key crypto.Signer, zone *dnstest.Server, letter string, header, body dkim.Canon) {
	t.Helper()
	var out bytes.Buffer
	err := msgauth.Sign(&out, strings.NewReader(letter), &msgauth.SignOptions{
		Domain: "example.org", Selector: "s", Signer: key, Hash: crypto.SHA256,
		HeaderCanonicalization: msgauth.Canonicalization(header.String()), BodyCanonicalization: msgauth.Canonicalization(body.String()),
	})
	if err != nil {
		t.Fatal(err)
	}
	v := &dkim.Verifier{Resolver: dns.New(dns.Options{Servers: []string{zone.Addr()}}), Now: time.Now}
	found, err := v.Verify(t.Context(), read(t, out.String()))
	if err != nil || len(found) != 1 || found[0].Status != dkim.Pass {
		t.Errorf("%v/%v, theirs by us: %v %+v\n%s", header, body, err, found, out.String())
	}
}
