package dns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// System is what the host's resolv.conf says.
type System struct {
	Servers []string // address:53
	TrustAD bool     // "options trust-ad"
}

// ReadSystem reads a resolv.conf(5), usually /etc/resolv.conf. One that does
// not exist says nothing, and so names no servers.
func ReadSystem(path string) (System, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return System{}, nil
	}
	if err != nil {
		return System{}, fmt.Errorf("find the DNS servers: %w", err)
	}
	defer f.Close()
	return ParseSystem(f)
}

// ParseSystem reads the text of a resolv.conf(5). Lines that it does not know
// are skipped, as the C library does.
func ParseSystem(r io.Reader) (System, error) {
	var s System
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil && len(s.Servers) < 8 {
				s.Servers = append(s.Servers, netip.AddrPortFrom(addr, 53).String())
			}
		case "options":
			s.TrustAD = s.TrustAD || slices.Contains(words[1:], "trust-ad")
		}
	}
	if err := lines.Err(); err != nil {
		return System{}, fmt.Errorf("read resolv.conf: %w", err)
	}
	return s, nil
}
