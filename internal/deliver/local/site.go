package local

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/sieve"
)

// Site is what a site may offer to scripts beside what every site has.
type Site struct {
	// Lists are the lists of addresses and other texts that scripts may ask,
	// by name; List looks a text up in one. What a list has under its own name are
	// its members, with commas between, for mail that is sent on to it.
	Lists []string
	List  func(ctx context.Context, list, key string) (value string, found bool, err error)
	// Run runs a program of the site for its answer; nil if there are none. ok
	// says that it ended well.
	Run     func(ctx context.Context, program string, args []string, from, to mail.Address, input []byte) (answer []byte, ok bool, err error)
	Timeout time.Duration // of one program
	Viruses bool          // are looked for
}

// Offers says whether scripts may require a capability: all but those whose
// questions the site cannot answer.
func (s Site) Offers(capability string) bool {
	switch capability {
	case "extlists":
		return len(s.Lists) > 0
	case "vnd.dovecot.pipe", "vnd.dovecot.filter", "vnd.dovecot.execute":
		return s.Run != nil
	case "virustest":
		return s.Viruses
	}
	return !strings.HasPrefix(capability, "vnd.") || capability == "vnd.dovecot.debug"
}

// site lets a script ask what the site offers.
func (w *work) site(in *sieve.Input) {
	o := &w.agent.o
	if len(o.Lists) > 0 {
		in.Lists = lists{w.ctx, &o.Site}
	}
	if o.Run != nil {
		in.Execute = w.execute
	}
}

// lists are those of a site, RFC 6134.
type lists struct {
	ctx  context.Context // of the letter
	site *Site
}

// Known says that there is a list.
func (l lists) Known(list string) bool { return slices.Contains(l.site.Lists, list) }

// Contains looks into a list.
func (l lists) Contains(list, value string) (bool, error) {
	if !l.Known(list) {
		return false, nil
	}
	_, found, err := l.site.List(l.ctx, list, value)
	return found, err
}

// members are the addresses of a list.
func (w *work) members(list string) ([]mail.Address, error) {
	value, found, err := w.agent.o.List(w.ctx, list, list)
	if err != nil {
		return nil, fmt.Errorf("read the list %s: %w", list, err)
	}
	if !found {
		return nil, &sieve.Error{Text: fmt.Sprintf("the list %q has no members that mail could be sent to", list)}
	}
	var all []mail.Address
	for text := range strings.SplitSeq(value, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, &sieve.Error{Text: fmt.Sprintf("the list %q: %v", list, err)}
		}
		all = append(all, a)
	}
	return all, nil
}

// execute runs a program of the site. Programs get and give lines that end in LF.
func (w *work) execute(kind, program string, args []string, input []byte) ([]byte, bool, error) {
	if err := checkArguments(program, args); err != nil {
		return nil, false, err
	}
	ctx := w.ctx
	if w.agent.o.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, w.agent.o.Timeout)
		defer stop()
	}
	answer, ok, err := w.agent.o.Run(ctx, program, args, w.letter.From, w.letter.To, bytes.ReplaceAll(input, []byte("\r\n"), []byte("\n")))
	if err == nil && ok && kind == "filter" {
		answer = bytes.ReplaceAll(bytes.ReplaceAll(answer, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}
	return answer, ok, err
}

// pipe has the letter go to a program of the site.
func (w *work) pipe(a *sieve.Pipe) error {
	if err := checkArguments(a.Program, a.Args); err != nil {
		return &sieve.Error{Pos: a.At, Text: err.Error()}
	}
	w.plan.Pipes = append(w.plan.Pipes, Pipe{a.Program, a.Args})
	return nil
}

// checkArguments says what no program gets.
func checkArguments(program string, args []string) error {
	if strings.ContainsAny(program, "/|") || program == "" {
		return fmt.Errorf("%q is no name of a program", program)
	}
	for _, a := range args {
		if strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("an argument of %s has a control character", program)
		}
	}
	return nil
}
