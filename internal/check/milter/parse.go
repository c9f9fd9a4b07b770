package milter

import (
	"fmt"
	"net"
	"path"
	"strings"
	"time"
)

// Parse reads a milter as a setting has it: where it is, and then words that say
// how it is to be dealt with: "unix:/run/opendkim.sock down=accept services=smtp",
// "inet:127.0.0.1:8891 content=2m".
func Parse(text string) (Filter, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Filter{}, fmt.Errorf("it names no milter")
	}
	f := Filter{Name: words[0]}
	kind, at, _ := strings.Cut(words[0], ":")
	switch kind {
	case "unix", "local":
		if f.Network, f.Address = "unix", at; !path.IsAbs(at) {
			return f, fmt.Errorf("%q is no absolute path of a socket", at)
		}
	case "inet", "inet6", "tcp":
		if port, host, ok := strings.Cut(at, "@"); ok { // as Sendmail writes it
			at = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		if _, _, err := net.SplitHostPort(at); err != nil {
			return f, fmt.Errorf("%q is no host:port", at)
		}
		f.Network, f.Address = "tcp", at
	default:
		return f, fmt.Errorf("%q is neither unix:/socket nor inet:host:port", words[0])
	}
	for _, word := range words[1:] {
		if err := f.set(word); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *Filter) set(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "down":
		switch value {
		case "accept":
			f.Open = true
		case "tempfail":
		default:
			return fmt.Errorf("down= is accept or tempfail, not %q", value)
		}
	case "services":
		for s := range strings.SplitSeq(value, ",") {
			switch s {
			case "smtp", "submission", "lmtp", "local":
				f.Services = append(f.Services, s)
			default:
				return fmt.Errorf("there is no service %q: smtp, submission, lmtp, local", s)
			}
		}
	case "connect":
		f.Connect, err = positive(value)
	case "command":
		f.Command, err = positive(value)
	case "content":
		f.Content, err = positive(value)
	default:
		return fmt.Errorf("there is no %q: down=, services=, connect=, command=, content=", key)
	}
	return err
}

func positive(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time to wait", text)
	}
	return d, err
}
