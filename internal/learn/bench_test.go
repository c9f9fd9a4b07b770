package learn

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"plic/internal/bayes"
	"plic/internal/check/greylist"
	"plic/internal/check/lists"
	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/check/signs"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/memory"
	"plic/internal/store/recall"
)

// newsletter is a message of 20 KiB as shops send them: words of a language, links,
// a plain text and HTML.
func newsletter(r *mathrand.Rand) string {
	words := strings.Fields("the of and to in is you that it for was on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part")
	var plain, html strings.Builder
	for plain.Len() < 6<<10 {
		plain.WriteString(words[r.IntN(len(words))] + fmt.Sprintf(" w%d", r.IntN(3000)))
		plain.WriteString([]string{" ", " ", " ", "\r\n"}[r.IntN(4)])
	}
	for html.Len() < 13<<10 {
		fmt.Fprintf(&html, "<tr><td style=\"color:#333\"><p>%s %s w%d <b>%s</b></p><a href=\"https://www.shop.org/p/%d?x=%d\">%s</a></td></tr>\r\n",
			words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(3000), words[r.IntN(len(words))], r.IntN(1000), r.IntN(1000), words[r.IntN(len(words))])
	}
	return "Received: from a.shop.org by mx.shop.org; Wed, 4 Mar 2026 11:59:00 +0000\r\nFrom: Shop <news@shop.org>\r\nTo: ann@here.test\r\nSubject: our offers\r\nDate: Wed, 4 Mar 2026 11:59:00 +0000\r\n" +
		"Message-ID: <1@shop.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + plain.String() +
		"\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><table>" + html.String() + "</table></body></html>\r\n--b--\r\n"
}

// BenchmarkChain is all that is looked for in a stranger's message of 20 KiB, for the
// site and one account, when the DNS has been asked before: the sender, signs, three
// lists, words, reputation, and greylisting. It reports the time of the processor.
func BenchmarkChain(b *testing.B) {
	ctx := b.Context()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	record, err := dkim.Record(key.Public())
	if err != nil {
		b.Fatal(err)
	}
	names := dnstest.New(b, "s._domainkey.shop.org 3600 IN TXT \""+record+"\"", `shop.org 3600 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"`, `_dmarc.shop.org 3600 IN TXT "v=DMARC1; p=reject"`)
	resolver := dns.New(dns.Options{Servers: []string{names.Addr()}})
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	b.Cleanup(func() { s.Close() })
	if _, err := s.Account(ctx, ann); err != nil {
		b.Fatal(err)
	}
	l, err := Open(ctx, Options{Store: s, Host: "mx.here.test"})
	if err != nil {
		b.Fatal(err)
	}
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range 250 {
		x := Sample{Class: bayes.Class(i % 2), Body: mail.Bytes([]byte(newsletter(r)))}
		for _, x.Account = range []string{"", ann} {
			if err := l.Learn(ctx, x); err != nil && !errors.Is(err, ErrKnown) {
				b.Fatal(err)
			}
		}
	}
	var all []lists.List
	for _, text := range []string{"bl.test client 3", "wl.test client -1", "dl.test domains 3"} {
		one, err := lists.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, one)
	}
	waited, err := recall.Open(ctx, recall.Options{Notes: s.Notes(), Prefix: "greylist/"})
	if err != nil {
		b.Fatal(err)
	}
	e, err := score.New(score.Options{
		Parts:    []score.Part{signs.New(signs.Options{Host: "mx.here.test"}), lists.New(lists.Options{Lists: all, Resolver: resolver}), l.Words(), l.Names()},
		Personal: []score.Personal{l.Words()}, Greylister: greylist.New(greylist.Options{Memory: waited}),
	})
	if err != nil {
		b.Fatal(err)
	}
	text := newsletter(r)
	read, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		b.Fatal(err)
	}
	field, err := (&dkim.Signer{Domain: "shop.org", Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}).Sign(read)
	if err != nil {
		b.Fatal(err)
	}
	text = string(field) + text
	body := mail.Bytes([]byte(text))
	env := &mail.Envelope{From: mail.MustAddress("news@shop.org"), To: []mail.Recipient{{Address: mail.MustAddress(ann)}},
		Origin: mail.Origin{Service: "smtp", Remote: netip.MustParseAddrPort("192.0.2.1:25"), Name: "mx.shop.org", Helo: "mx.shop.org"}}
	checker := sender.New(sender.Options{Resolver: resolver, Host: "mx.here.test"})
	parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	look := func() {
		m := score.NewMessage(env, parsed, body)
		judged := make(chan *score.Verdict)
		go func() { judged <- e.Judge(ctx, m) }()
		found, err := checker.Check(ctx, env, parsed, body)
		if err != nil {
			b.Fatal(err)
		}
		m.Found(found)
		v := <-judged
		e.JudgeFor(ctx, v, ann)
		e.PutOff(ctx, v)
	}
	look() // the DNS
	b.SetBytes(int64(len(text)))
	began := processor(b)
	b.ResetTimer()
	for range b.N {
		look()
	}
	b.ReportMetric(float64(processor(b)-began)/float64(b.N)/1000, "cpu-µs/op")
}

// processor is the time that the process has had of processors.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
