package table

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// rule is one line of a table of patterns; the first that fits a key answers.
type rule struct {
	negated bool
	pattern *regexp.Regexp
	value   string
}

type rules []rule

func (all rules) lookup(key string) (string, bool) {
	for i := range all {
		r := &all[i]
		at := r.pattern.FindStringSubmatchIndex(key)
		switch {
		case (at != nil) == r.negated:
		case r.negated:
			return r.value, true
		default:
			return string(r.pattern.ExpandString(nil, r.value, key, at)), true
		}
	}
	return "", false
}

// parseRegexp reads "/pattern/flags value" lines, "!/pattern/" for what does
// not fit. Upper and lower case are the same unless the flag i says that they
// are not, as Postfix has it; the flag m lets ^ and $ match at lines, x is
// ignored. In the value $1 or ${1} is what the first parentheses matched.
func parseRegexp(text []byte) (content, error) {
	var all rules
	err := parseLines(text, func(line string) error {
		r := rule{}
		line, r.negated = strings.CutPrefix(line, "!")
		delimiter := line[:min(1, len(line))]
		if delimiter == "" || strings.ContainsAny(delimiter, "abcdefghijklmnopqrstuvwxyz0123456789 \\") {
			return fmt.Errorf("%q does not begin with /pattern/", line)
		}
		end := closing(line[1:], delimiter[0])
		if end < 0 {
			return fmt.Errorf("the pattern %s does not end with %s", line, delimiter)
		}
		flags, value := cutSpace(line[end+2:])
		options := "i"
		for _, f := range flags {
			switch f {
			case 'i':
				options = strings.ReplaceAll(options, "i", "")
			case 'm':
				options += "m"
			case 'x':
			default:
				return fmt.Errorf("there is no flag %q", f)
			}
		}
		pattern := strings.ReplaceAll(line[1:end+1], `\`+delimiter, delimiter)
		if options != "" {
			pattern = "(?" + options + ")" + pattern
		}
		var err error
		if r.pattern, err = regexp.Compile(pattern); err != nil {
			return err
		}
		r.value = braced(value)
		if r.negated && r.value != strings.ReplaceAll(value, "$$", "$") && strings.Contains(r.value, "${") {
			return errors.New("what does not match has no $1")
		}
		if r.negated {
			r.value = strings.ReplaceAll(r.value, "$$", "$")
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// closing finds the end of a pattern.
func closing(text string, delimiter byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case delimiter:
			return i
		}
	}
	return -1
}

var group = regexp.MustCompile(`\$(\$|\d+|\(\d+\)|\{\d+\})|\$`)

// braced makes $1, $(1) and ${1} the same, so that "$1x" is what it seems to be,
// and a $ that is none of them itself.
func braced(value string) string {
	return group.ReplaceAllStringFunc(value, func(m string) string {
		number := strings.Trim(m, "$(){}")
		if number == "" {
			return "$$"
		}
		return "${" + number + "}"
	})
}

// network is one line of a table of networks.
type network struct {
	prefix  netip.Prefix
	negated bool
	value   string
}

type networks []network

func (all networks) lookup(key string) (string, bool) {
	addr, err := netip.ParseAddr(strings.Trim(key, "[]"))
	if err != nil {
		return "", false
	}
	addr = addr.Unmap().WithZone("")
	for _, n := range all {
		if n.prefix.Contains(addr) != n.negated {
			return n.value, true
		}
	}
	return "", false
}

// parseCIDR reads "network value" lines; keys are addresses, and the first
// network that holds one answers.
func parseCIDR(text []byte) (content, error) {
	var all networks
	err := parseLines(text, func(line string) error {
		n := network{}
		line, n.negated = strings.CutPrefix(line, "!")
		var name string
		name, n.value = cutSpace(line)
		name = strings.NewReplacer("[", "", "]", "").Replace(name)
		if a, err := netip.ParseAddr(name); err == nil {
			n.prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		} else if n.prefix, err = netip.ParsePrefix(name); err != nil {
			return fmt.Errorf(`%q is not a network: write "192.0.2.0/24" or "2001:db8::/32"`, name)
		}
		if n.prefix != n.prefix.Masked() {
			return fmt.Errorf("%q has bits behind its prefix: write %q", name, n.prefix.Masked())
		}
		all = append(all, n)
		return nil
	})
	return all, err
}
