package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// Spam is what becomes of mail of strangers by what it is.
type Spam struct {
	Check                                   bool
	Tag, Greylist, Junk, Quarantine, Refuse float64
	Subject                                 string
	QuarantineTo                            mail.Address
	Weights                                 []string
	Lists                                   []string
	Scanners                                []string
	GreylistDelay                           time.Duration
	Learn                                   bool
	LearnMinimum                            int
	LearnDaily                              int
	Timeout                                 time.Duration
}

func defaultSpam() Spam {
	return Spam{Check: true, Greylist: 5, Junk: 6, Refuse: 15, GreylistDelay: 5 * time.Minute, Learn: true, LearnMinimum: 100, LearnDaily: 100, Timeout: 15 * time.Second}
}

func (c *Config) spam() Section {
	s := &c.Spam
	return Section{"spam", "What becomes of mail that a stranger brings, by its score: the sum of the weights of all that is found in it. `docs/spam.md` lists what is looked for. Networks of `senders.excepted_networks` are not judged, nor are users who have logged in. An account or a domain may have limits of its own: `plic spam limits`. 0 is never.", []Setting{
		{"check", "Judge mail at all.", restart, switchValue{&s.Check}},
		{"tag", "The score from which on `subject` is put before the subject. The X-Spam fields are there in any case.", restart, decimal{&s.Tag, 0, 1000}},
		{"subject", "The word for that, such as `[spam?]`. It breaks signatures for those who check them again; empty: the subject stays.", restart, free{&s.Subject, "text", nil}},
		{"greylist", "The score from which on a message of somebody new is put off with 451 for some minutes: who is serious comes back.", restart, decimal{&s.Greylist, 0, 1000}},
		{"junk", "The score from which on a message goes into the Junk mailbox.", restart, decimal{&s.Junk, 0, 1000}},
		{"quarantine", "The score from which on a message goes to `quarantine_to` and not to its recipients.", restart, decimal{&s.Quarantine, 0, 1000}},
		{"quarantine_to", "Who gets such messages; empty: they go into Junk.", restart, mailbox{&s.QuarantineTo}},
		{"refuse", "The score from which on a message is refused with 550 5.7.1, if that is so for all its recipients.", restart, decimal{&s.Refuse, 0, 1000}},
		{"greylist_delay", "For how long such a message is put off. Who came back three times, by domain where SPF or DKIM proves it, by network else, waits no more; nor does who sent mail that users kept.", restart, duration{&s.GreylistDelay, 10 * time.Second, day}},
		{"lists", "Lists of addresses and domains that are asked by DNS: a zone, `client` or `domains`, perhaps `refuse` (at the door, but for mail to postmaster and abuse), then weights of answers, as `bl.example.org client refuse 127.0.0.2=3 127.0.0.4-7=5` or `dl.example.org domains 127.0.0.&2=4`; a weight alone is that of any answer, one below 0 speaks for a sender. Mind the terms of use of each list.", restart, list[string]{&s.Lists, "DNS lists", "bl.example.org client 3", one, plain}},
		{"scanners", "Scanners beside the server: `clamav unix:/socket`, `spamassassin inet:host:port` (spamd), `rspamd http://host:port`, then perhaps `down=accept` (mail goes on when it does not answer; `down=tempfail` puts it off, and is usual), `timeout=10s`, `virus=refuse` (what becomes of mail with a virus: refuse, quarantine, junk or tag), `obey=yes` (do what Rspamd thinks should be done, not only count its score), `user=name` (whose preferences SpamAssassin takes).", restart, list[string]{&s.Scanners, "scanners", "clamav unix:/run/clamav/clamd.ctl", one, plain}},
		{"learn", "Learn from what users move into Junk and out of it, call so by a keyword, answer, flag, file or append, which words are those of spam, and whose mail is wanted. `plic spam train` teaches more.", restart, switchValue{&s.Learn}},
		{"learn_minimum", "Messages of spam, and of other mail, that the site or an account must have taught before their words count.", restart, number{&s.LearnMinimum, 1, 100000}},
		{"learn_daily", "Messages in a day by which one account may teach the site; its own words it may teach as it likes.", restart, number{&s.LearnDaily, 0, 1000000}},
		{"weights", "Weights of symbols that differ from their own, as `SYMBOL=1.5`; 0 switches one off.", restart, list[string]{&s.Weights, "weights", "BAYES_SPAM=5", weight, plain}},
		{"timeout", "How long all looks at a message may take together; what is not found by then does not count.", restart, duration{&s.Timeout, time.Second, 5 * time.Minute}},
	}}
}

// rules are those of the section.
func (s *Spam) rules() []rule {
	return []rule{
		{s.Junk > 0 && s.Refuse > 0 && s.Junk > s.Refuse, "spam.junk", "is more than spam.refuse: nothing would come into Junk"},
		{s.Quarantine > 0 && s.QuarantineTo.IsNull(), "spam.quarantine", "has nobody to look after it: set spam.quarantine_to too"},
	}
}

// ParseWeight reads the weight of a symbol.
func ParseWeight(s string) (symbol string, weight float64, err error) {
	symbol, value, ok := strings.Cut(s, "=")
	weight, err = strconv.ParseFloat(strings.TrimSpace(value), 64)
	if symbol = strings.TrimSpace(symbol); !ok || err != nil || symbol == "" || math.Abs(weight) > 1000 || math.IsNaN(weight) {
		return "", 0, fmt.Errorf("%q is no weight: write SYMBOL=1.5", s)
	}
	return symbol, weight, nil
}

func weight(s string) (string, error) {
	_, _, err := ParseWeight(s)
	return s, err
}

// decimal is a number with a fraction, within bounds.
type decimal struct {
	p        *float64
	min, max float64
}

func (d decimal) kind() string { return fmt.Sprintf("number, %v to %v", d.min, d.max) }
func (d decimal) text() string {
	text := strconv.FormatFloat(*d.p, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
func (d decimal) read(v any) error {
	var got float64
	switch v := v.(type) {
	case int64:
		got = float64(v)
	case float64:
		got = v
	default:
		return wrongType(fmt.Sprintf("a number such as %s", d.text()), v)
	}
	if math.IsNaN(got) {
		return errors.New("is no number")
	}
	if got < d.min || got > d.max {
		return fmt.Errorf("%v is out of bounds: it may be %v to %v", got, d.min, d.max)
	}
	*d.p = got
	return nil
}
