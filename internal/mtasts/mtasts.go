// Package mtasts reads and writes what MTA-STS is made of: the TXT record that
// says that a domain has a policy, and the policy. It fetches nothing.
//
// RFC 8461.
package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSize bounds a policy, RFC 8461 section 3.3.
const MaxSize = 64 << 10

// MaxAge is the longest that a policy may hold, RFC 8461 section 3.2.
const MaxAge = 31557600 * time.Second

// maxHosts bounds the patterns of a policy.
const maxHosts = 1000

// Mode says what a policy asks of a sender.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // no mail without a verified host
	Testing Mode = "testing" // tell of failures, deliver all the same
	None    Mode = "none"    // the domain had a policy
)

// Policy is what a domain asks for.
type Policy struct {
	Mode   Mode
	MX     []string // host names, "*.example.org" for any one label before
	MaxAge time.Duration
}

// ErrNoRecord says that a domain has no usable record, so no policy.
var ErrNoRecord = errors.New("no MTA-STS record")

// ParseRecord gives the policy id from the texts of _mta-sts.DOMAIN. More than
// one record is as none, RFC 8461 section 3.1.
func ParseRecord(texts []string) (id string, err error) {
	found := 0
	for _, text := range texts {
		version, rest, _ := strings.Cut(text, ";")
		if strings.TrimRight(version, " \t") != "v=STSv1" {
			continue
		}
		if found++; found > 1 {
			return "", fmt.Errorf("%w: there is more than one", ErrNoRecord)
		}
		for field := range strings.SplitSeq(rest, ";") {
			key, value, _ := strings.Cut(field, "=")
			if strings.TrimSpace(key) == "id" && id == "" {
				id = strings.TrimSpace(value)
			}
		}
		if !isID(id) {
			return "", fmt.Errorf("%w: its id is not 1 to 32 letters and digits", ErrNoRecord)
		}
	}
	if found == 0 {
		return "", ErrNoRecord
	}
	return id, nil
}

func isID(id string) bool {
	return id != "" && len(id) <= 32 && strings.IndexFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}) < 0
}

// Parse reads a policy. Keys that it does not know are passed over, RFC 8461
// section 3.2; of those that may stand once, the first counts.
func Parse(text []byte) (Policy, error) {
	var p Policy
	if len(text) > MaxSize {
		return p, fmt.Errorf("the policy has more than %d octets", MaxSize)
	}
	seen := map[string]bool{}
	first := true
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.Trim(line, " \t") == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.TrimRight(key, " \t"), strings.Trim(value, " \t")
		if !ok {
			return Policy{}, fmt.Errorf("%.60q is no line of a policy", line)
		}
		if first && (key != "version" || value != "STSv1") {
			return Policy{}, errors.New("the policy does not begin with version: STSv1")
		}
		first = false
		if key != "mx" && seen[key] {
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return Policy{}, err
		}
	}
	switch {
	case first:
		return Policy{}, errors.New("the policy is empty")
	case p.Mode == "":
		return Policy{}, errors.New("the policy has no mode")
	case !seen["max_age"]:
		return Policy{}, errors.New("the policy has no max_age")
	case p.Mode != None && len(p.MX) == 0:
		return Policy{}, errors.New("the policy names no mx")
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	switch key {
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return fmt.Errorf("%.60q is no mode", value)
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || len(value) > 10 {
			return fmt.Errorf("max_age %.60q is no number of seconds", value)
		}
		p.MaxAge = min(time.Duration(min(n, 1<<32))*time.Second, MaxAge)
	case "mx":
		if !isPattern(value) {
			return fmt.Errorf("%.60q is no name of an mx", value)
		}
		if len(p.MX) == maxHosts {
			return fmt.Errorf("the policy names more than %d mx", maxHosts)
		}
		p.MX = append(p.MX, strings.ToLower(strings.TrimSuffix(value, ".")))
	}
	return nil
}

// isPattern says that text is a host name, perhaps with "*." before it.
func isPattern(text string) bool {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "*."), ".")
	if text == "" || len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, func(c rune) bool {
			return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
		}) >= 0 {
			return false
		}
	}
	return true
}

// Text writes the policy as it is served.
func (p Policy) Text() []byte {
	text := "version: STSv1\r\nmode: " + string(p.Mode) + "\r\n"
	for _, mx := range p.MX {
		text += "mx: " + mx + "\r\n"
	}
	return fmt.Appendf(nil, "%smax_age: %d\r\n", text, p.MaxAge/time.Second)
}

// Matches says whether the policy names a host, RFC 8461 section 4.1.
func (p Policy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		if suffix, wild := strings.CutPrefix(pattern, "*."); wild {
			return parent == suffix
		}
		return pattern == host
	})
}
