// Package scan asks the scanners that a site has beside its server about messages,
// as parts of the judgement of package score: ClamAV by INSTREAM, SpamAssassin by
// spamd's protocol, Rspamd over HTTP. Each has a limit of time, and an answer for
// when it is down: the message goes on without, or is put off.
package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"plic/internal/check/score"
	"plic/internal/mail"
)

// Scanner is one of them, and how it is reached.
type Scanner struct {
	Kind    string // "clamav", "spamassassin" or "rspamd"
	Network string // "unix" or "tcp"
	Address string
	URL     string // of Rspamd
	Timeout time.Duration
	Open    bool // messages go on when it is down
	Obey    bool // what Rspamd thinks should be done is done
	// Found is the least that becomes of a message with a virus.
	Found score.Action
	Size  int64  // of messages that it is shown; larger ones pass
	User  string // of SpamAssassin, whose preferences count
}

// Options are what scanners are asked with.
type Options struct {
	Host string // our name
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// The symbols that scanners give.
const (
	Virus        = score.Virus
	SpamAssassin = "SPAMASSASSIN"
	Rspamd       = "RSPAMD"
)

// Part is a scanner as a part of a judgement.
type Part struct {
	s   Scanner
	o   Options
	web *http.Client // of Rspamd
}

// New makes a Part.
func New(s Scanner, o Options) *Part {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if s.Size == 0 {
		s.Size = map[string]int64{"clamav": 100 << 20, "spamassassin": 1 << 20, "rspamd": 20 << 20}[s.Kind]
	}
	return &Part{s, o, &http.Client{Transport: &http.Transport{DialContext: o.Dial, MaxIdleConnsPerHost: 20, IdleConnTimeout: time.Minute}}}
}

// Name names the scanner.
func (p *Part) Name() string { return p.s.Kind }

// Symbols are those that it gives.
func (p *Part) Symbols() []score.Symbol {
	switch p.s.Kind {
	case "clamav":
		return []score.Symbol{{Name: Virus, Weight: 10, Says: "a virus scanner knows what it carries"}}
	case "spamassassin":
		return []score.Symbol{{Name: SpamAssassin, Weight: 1, Says: "SpamAssassin's score of it"}}
	}
	return []score.Symbol{{Name: Rspamd, Weight: 1, Says: "Rspamd's score of it"}}
}

// Look shows the scanner a message.
func (p *Part) Look(ctx context.Context, m *score.Message) (score.Answer, error) {
	if m.Body.Size() > p.s.Size {
		return score.Answer{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.Timeout)
	defer cancel()
	ask := map[string]func(context.Context, *score.Message) (score.Answer, error){
		"clamav": p.clamav, "spamassassin": p.spamd, "rspamd": p.rspamd,
	}[p.s.Kind]
	answer, err := ask(ctx, m)
	if err == nil || p.s.Open {
		return answer, err
	}
	return score.Answer{}, &mail.Failure{Op: "ask " + p.s.Kind, Err: err,
		Status: mail.Reply(451, "4.7.1", "the message cannot be checked now, try again later")}
}

// open connects to a scanner, for as long as the context lasts.
func (p *Part) open(ctx context.Context) (net.Conn, func(), error) {
	conn, err := p.o.Dial(ctx, p.s.Network, p.s.Address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); conn.Close() }, nil
}

// whole is the message with the line that tells how it came, which scanners look
// for: RFC 5321 section 4.4.
func (p *Part) whole(m *score.Message) mail.Body {
	e := m.Envelope
	from := e.Origin.Helo
	if a := e.Origin.Remote.Addr(); a.IsValid() {
		name := e.Origin.Name
		if name == "" {
			name = "unknown"
		}
		from += " (" + name + " [" + a.Unmap().WithZone("").String() + "])"
	}
	line := "Received: from " + clean(from) + "\r\n\tby " + p.o.Host + " with " + clean(e.Origin.Protocol) + " id " + e.ID.String() +
		";\r\n\t" + e.Received.Format(time.RFC1123Z) + "\r\n"
	return mail.WithPrefix([]byte("Return-Path: "+e.From.Path()+"\r\n"+line), m.Body)
}

// clean leaves out what no header may hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// maxAnswer is how much a scanner may answer.
const maxAnswer = 1 << 20

func readAnswer(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if len(text) > maxAnswer {
		return "", errors.New("the answer is too long")
	}
	return string(text), err
}

// Parse reads a scanner as a setting has it: its kind, where it is, and words that
// say how it is to be dealt with: "clamav unix:/run/clamav/clamd.ctl down=accept",
// "rspamd http://127.0.0.1:11333 obey=yes", "spamassassin inet:127.0.0.1:783".
func Parse(text string) (Scanner, error) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return Scanner{}, errors.New("it must name a kind of scanner and where it is")
	}
	s := Scanner{Kind: words[0], Found: score.Refuse}
	kind, at, _ := strings.Cut(words[1], ":")
	switch s.Kind {
	case "clamav", "spamassassin":
		switch {
		case kind == "unix" && path.IsAbs(at):
			s.Network, s.Address = "unix", at
		case kind == "inet":
			if _, _, err := net.SplitHostPort(at); err != nil {
				return s, fmt.Errorf("%q is no host:port", at)
			}
			s.Network, s.Address = "tcp", at
		default:
			return s, fmt.Errorf("%q is neither unix:/socket nor inet:host:port", words[1])
		}
	case "rspamd":
		u, err := url.Parse(words[1])
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return s, fmt.Errorf("%q is no address like http://127.0.0.1:11333", words[1])
		}
		s.URL = strings.TrimSuffix(u.String(), "/")
	default:
		return s, fmt.Errorf("there is no scanner %q: clamav, spamassassin, rspamd", s.Kind)
	}
	for _, word := range words[2:] {
		if err := s.set(word); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Scanner) set(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch {
	case key == "down" && value == "accept":
		s.Open = true
	case key == "down" && value == "tempfail":
	case key == "timeout":
		if s.Timeout, err = time.ParseDuration(value); err == nil && s.Timeout <= 0 {
			err = fmt.Errorf("%q is no time to wait", value)
		}
	case key == "virus" && s.Kind == "clamav":
		s.Found, err = score.ParseAction(value)
	case key == "obey" && s.Kind == "rspamd":
		s.Obey = value == "yes"
	case key == "user" && s.Kind == "spamassassin":
		s.User = value
	default:
		return fmt.Errorf("%q says nothing of %s: down=accept or tempfail, timeout=, virus=, obey=yes, user=", word, s.Kind)
	}
	return err
}
