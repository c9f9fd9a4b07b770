package dnstest

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// Sign makes a signed zone of records, with proofs of what is not there (RFC
// 4034 and 4035), as the text of a zone file, and the DNSKEY record that a
// validating resolver needs to trust it. Records are written as for Add.
func Sign(zone string, records ...string) (text, anchor string, err error) {
	zone = wire.Fqdn(zone)
	key := &wire.DNSKEY{
		Hdr: wire.RR_Header{Name: zone, Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: wire.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		return "", "", err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return "", "", errors.New("the key cannot sign")
	}
	all := []wire.RR{key}
	fixed := []string{zone + " 60 IN SOA ns." + zone + " hostmaster." + zone + " 1 60 60 60 30", zone + " 60 IN NS ns." + zone, "ns." + zone + " 60 IN A 127.0.0.1"}
	for _, record := range append(fixed, records...) {
		rr, err := wire.NewRR(record)
		if err != nil || rr == nil {
			return "", "", fmt.Errorf("record %q: %w", record, err)
		}
		all = append(all, rr)
	}
	sets := setsOf(append(all, chain(zone, all)...))
	var b strings.Builder
	for _, set := range sets {
		sig := &wire.RRSIG{
			Hdr:       wire.RR_Header{Name: set[0].Header().Name, Rrtype: wire.TypeRRSIG, Class: wire.ClassINET, Ttl: set[0].Header().Ttl},
			Algorithm: key.Algorithm, SignerName: zone, KeyTag: key.KeyTag(),
			Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(24 * time.Hour).Unix()),
		}
		if err := sig.Sign(signer, set); err != nil {
			return "", "", fmt.Errorf("sign %s: %w", set[0].Header().Name, err)
		}
		for _, rr := range append(set, sig) {
			b.WriteString(rr.String() + "\n")
		}
	}
	return b.String(), key.String(), nil
}

// setsOf groups records of the same name and type, the SOA first.
func setsOf(all []wire.RR) [][]wire.RR {
	rank := func(rr wire.RR) int {
		if rr.Header().Rrtype == wire.TypeSOA {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b wire.RR) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Header().Name, b.Header().Name), cmp.Compare(a.Header().Rrtype, b.Header().Rrtype))
	})
	var sets [][]wire.RR
	for _, rr := range all {
		if n := len(sets); n > 0 && sets[n-1][0].Header().Name == rr.Header().Name && sets[n-1][0].Header().Rrtype == rr.Header().Rrtype {
			sets[n-1] = append(sets[n-1], rr)
			continue
		}
		sets = append(sets, []wire.RR{rr})
	}
	return sets
}

// chain makes the NSEC records of a zone: each name tells its types and the
// next name, in canonical order.
func chain(zone string, all []wire.RR) []wire.RR {
	types := map[string][]uint16{}
	for _, rr := range all {
		h := rr.Header()
		if !slices.Contains(types[h.Name], h.Rrtype) {
			types[h.Name] = append(types[h.Name], h.Rrtype)
		}
	}
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.SortFunc(names, canonicalOrder)
	var list []wire.RR
	for i, name := range names {
		bits := append(types[name], wire.TypeRRSIG, wire.TypeNSEC)
		slices.Sort(bits)
		next := zone
		if i+1 < len(names) {
			next = names[i+1]
		}
		list = append(list, &wire.NSEC{
			Hdr: wire.RR_Header{Name: name, Rrtype: wire.TypeNSEC, Class: wire.ClassINET, Ttl: 30}, NextDomain: next, TypeBitMap: bits,
		})
	}
	return list
}

// canonicalOrder compares names from their last label on, RFC 4034 section 6.1.
func canonicalOrder(a, b string) int {
	x, y := wire.SplitDomainName(a), wire.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}
