package search

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"plic/internal/casemap"
	"plic/internal/store"
	"plic/internal/store/engine/embedded"
)

// letter writes a message as people get them: some 4 KB, words that are as common
// as those of a language, and headers full of what is in no other.
func letter(r *rand.Rand, z *rand.Zipf, vocabulary []string, n int) string {
	var b strings.Builder
	who := r.IntN(500)
	for range 3 {
		fmt.Fprintf(&b, "Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n\tby mx.example.org with ESMTPS id %016x\r\n\tfor <me@example.org>; Fri, 1 Mar 2024 10:%02d:%02d +0000\r\n",
			r.IntN(9), r.IntN(9), r.IntN(250), r.Uint64(), r.IntN(60), r.IntN(60))
	}
	sum := make([]byte, 256)
	for i := range sum {
		sum[i] = byte(r.Uint32())
	}
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;\r\n\th=From:To:Subject:Date;\r\n\tb=%s\r\n", base64.StdEncoding.EncodeToString(sum))
	fmt.Fprintf(&b, "From: %s %s <u%d@example.org>\r\nTo: me@example.org\r\nMessage-ID: <%016x.%d@mail.example.org>\r\nDate: Fri, 1 Mar 2024 10:%02d:%02d +0000\r\n",
		vocabulary[who], vocabulary[who+1000], who, r.Uint64(), n, r.IntN(60), r.IntN(60))
	fmt.Fprintf(&b, "Subject: %s %s %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
		vocabulary[z.Uint64()], vocabulary[z.Uint64()], vocabulary[z.Uint64()])
	for i := range 80 + r.IntN(500) {
		b.WriteString(vocabulary[z.Uint64()])
		if i%12 == 11 {
			b.WriteString("\r\n")
		} else {
			b.WriteByte(' ')
		}
	}
	fmt.Fprintf(&b, "\r\nhttps://example.com/c/%x?u=%d\r\n", r.Uint64(), r.IntN(1000000))
	return b.String()
}

func benchMailbox(b *testing.B, n int) (*store.Mailbox, *Index) {
	b.Helper()
	ctx := context.Background()
	e, err := embedded.Open(ctx, embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	s := store.New(store.Options{Engine: e})
	b.Cleanup(func() { s.Close() })
	a, err := s.Account(ctx, "alice")
	if err != nil {
		b.Fatal(err)
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		b.Fatal(err)
	}
	h := &house{b, s, mb}
	r := rand.New(rand.NewPCG(1, 2))
	vocabulary := make([]string, 20000)
	for i := range vocabulary {
		w := make([]byte, 2+r.IntN(9))
		for k := range w {
			w[k] = 'a' + byte(r.IntN(26))
		}
		vocabulary[i] = string(w)
	}
	z := rand.NewZipf(r, 1.2, 8, uint64(len(vocabulary)-1))
	texts := make([]string, 1000)
	for at := 0; at < n; at += len(texts) {
		for i := range texts {
			texts[i] = letter(r, z, vocabulary, at+i)
		}
		h.put(texts...)
	}
	x := New(Options{Wait: -1})
	began := time.Now()
	if err := x.updater(mb, true).refresh(ctx); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	st, err := x.Status(ctx, mb)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d messages of %d octets: index of %d octets (%.1f %%), %d words, %d segments, made in %v",
		n, st.Mail, st.Bytes, 100*float64(st.Bytes)/float64(st.Mail), st.Words, st.Segments, took)
	return mb, x
}

func BenchmarkFind(b *testing.B) {
	mb, x := benchMailbox(b, 100000)
	ctx := context.Background()
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		in         Class
	}{{"FROM", "u499", From}, {"SUBJECT", "abc", Subject}, {"TEXT word", "qxz", Header | Body}, {"TEXT letter", "e", Header | Body}, {"BODY nothing", "nosuchword", Body}} {
		needle := casemap.Fold(c.text)
		for _, cold := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s cold=%v", c.name, cold), func(b *testing.B) {
				for b.Loop() {
					if cold {
						x = New(Options{})
					}
					r, err := x.Open(ctx, mb)
					if err != nil {
						b.Fatal(err)
					}
					hits, err := r.Find(ctx, needle, c.in)
					if err != nil {
						b.Fatal(err)
					}
					yes := 0
					for _, e := range snap.All() {
						if hits.Of(e.UID) == Yes {
							yes++
						}
					}
					b.ReportMetric(float64(yes), "found")
				}
			})
		}
	}
}
