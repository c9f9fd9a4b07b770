package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// options are what the command line asks for.
type options struct {
	sizes
	only      words
	rounds    int
	growth    string // the file of the plot
	queued    int
	directory bool
	formats   []string
	steps     []int
	octets    int
	imported  int
	limits    int
}

// sizes say how much is done.
type sizes struct {
	mailbox int // messages of the large mailbox
	idle    int // idle connections whose memory is measured
	logins  int // sessions that log in one after the other
	pop     int // messages of the POP3 mailbox
}

// words choose by name: what has one of them, in whatever case; all, if there is none.
type words []string

func (w words) in(name string) bool {
	return len(w) == 0 || slices.ContainsFunc(w, func(word string) bool {
		return strings.Contains(strings.ToLower(name), strings.ToLower(word))
	})
}

// parse reads the command line, and refuses what makes no sense, before anything
// is started.
func parse(args []string, complaints io.Writer) (options, error) {
	var o options
	var steps string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(complaints)
	f.Func("only", "measure only what has one of these `words` in its name, with commas between", func(text string) error {
		o.only = strings.Split(text, ",")
		if slices.Contains(o.only, "") {
			return errors.New("a word is empty")
		}
		return nil
	})
	f.IntVar(&o.rounds, "rounds", 3, "how often each side is measured; the median counts")
	f.StringVar(&o.growth, "growth", "", "measure growing mailboxes and plot them into this `file`")
	f.StringVar(&steps, "steps", "1000,10000,100000,300000,1000000", "sizes of the growing mailbox")
	f.IntVar(&o.mailbox, "mailbox", 100_000, "messages in the large mailbox, from 1,000 to 1,000,000")
	f.IntVar(&o.idle, "idle", 2000, "idle IMAP connections, twice as many at a time, and three times as many of plic")
	f.IntVar(&o.logins, "logins", 5000, "IMAP logins that go on to IDLE")
	f.IntVar(&o.pop, "pop", 5000, "messages that are fetched by POP3")
	f.IntVar(&o.queued, "queued", 0, "only fill the queue with so many messages, and print what it takes")
	f.BoolVar(&o.directory, "directory", false, "only measure logins and look-ups with accounts in databases; it needs dovecot-pgsql and dovecot-sqlite")
	f.Func("files", "only measure mailboxes in these `formats`, of -steps messages: native, maildir, mbox", func(text string) error {
		o.formats = strings.Split(text, ",")
		for _, format := range o.formats {
			if !slices.Contains([]string{"native", "maildir", "mbox"}, format) {
				return fmt.Errorf("there is no format %q", format)
			}
		}
		return nil
	})
	f.IntVar(&o.octets, "octets", 2000, "how long the messages of -files and -import are")
	f.IntVar(&o.imported, "import", 0, "only import a Maildir of so many `messages`")
	f.IntVar(&o.limits, "limits", 0, "only tell the least time that rows of the table can take, of so many `tries`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", f.Arg(0))
	}
	var err error
	o.steps, err = stepsOf(steps)
	return o, errors.Join(err, o.check())
}

// stepsOf reads sizes of mailboxes, each larger than the one before: a hundred
// messages are fetched in each.
func stepsOf(text string) (steps []int, err error) {
	const least = 100
	last := least - 1
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n <= last {
			return nil, fmt.Errorf("-steps: %q is no number above %d", word, last)
		}
		steps, last = append(steps, n), n
	}
	return steps, nil
}

// check refuses numbers with which nothing can be measured, and what is not
// measured in one run.
func (o *options) check() error {
	var wrong []error
	for _, x := range []struct {
		flag           string
		n, least, most int
	}{
		{"rounds", o.rounds, 1, 1000},
		{"mailbox", o.mailbox, 1000, 1_000_000}, // a thousand are fetched, stored, copied
		{"idle", o.idle, 4, 100_000},            // a fourth of them over TLS
		{"logins", o.logins, 1, 100_000},
		{"pop", o.pop, 1, 1_000_000},
		{"queued", o.queued, 0, 10_000_000},
		{"octets", o.octets, 0, 100 << 20},
		{"import", o.imported, 0, 10_000_000},
		{"limits", o.limits, 0, 1_000_000},
	} {
		if x.n < x.least || x.n > x.most {
			wrong = append(wrong, fmt.Errorf("-%s: %d is not from %d to %d", x.flag, x.n, x.least, x.most))
		}
	}
	instead := 0
	for _, asked := range []bool{o.growth != "", o.queued > 0, o.directory, o.formats != nil, o.imported > 0, o.limits > 0} {
		if asked {
			instead++
		}
	}
	if instead > 1 {
		wrong = append(wrong, errors.New("-growth, -queued, -directory, -files, -import and -limits are each for a run of their own"))
	}
	if len(o.only) > 0 && !slices.ContainsFunc(o.names(), o.only.in) {
		wrong = append(wrong, fmt.Errorf("-only: nothing that is measured has one of %q in its name", []string(o.only)))
	}
	return errors.Join(wrong...)
}

// names are what -only chooses from.
func (o *options) names() (all []string) {
	if o.directory {
		return directoryNames
	}
	if o.growth != "" || o.queued > 0 || o.formats != nil || o.imported > 0 {
		return nil
	}
	if o.limits > 0 {
		for _, l := range limits(o.mailbox) {
			all = append(all, l.name)
		}
		return all
	}
	for _, m := range measures(o.sizes) {
		all = append(all, m.name)
	}
	return all
}
