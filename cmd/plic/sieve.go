package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plic/internal/deliver/local"
	"plic/internal/message"
	"plic/internal/sieve"
)

// sieveCommand tries filter scripts; no server is asked.
func (a *app) sieveCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "sieve", Short: "Try scripts that filter mail",
		Example: "  plic sieve check my.sieve\n  plic sieve run my.sieve --message letter.eml",
	}, a.sieveCheck(), a.sieveRun())
}

// compileFile compiles a script; what it includes lies beside it as NAME.sieve.
func compileFile(file string) (*sieve.Script, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	script, err := sieve.Compile(string(text), sieve.Options{
		// A script that is good here is good on a server that offers all.
		Allow: func(string) bool { return true },
		Load: func(_ bool, name string) (string, error) {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(file), filepath.Base(name)+".sieve"))
			if os.IsNotExist(err) {
				err = sieve.ErrNoScript
			}
			return string(text), err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return script, nil
}

func (a *app) sieveCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Find the faults of a script",
		Example: "  plic sieve check my.sieve",
		Args:    arguments(1, 1, "a script"),
		RunE: func(_ *cobra.Command, args []string) error {
			script, err := compileFile(args[0])
			if err != nil {
				return err
			}
			var offers []string // that not every site has
			for _, c := range sieve.Capabilities() {
				if script.Requires(c) && !(local.Site{}).Offers(c) {
					offers = append(offers, c)
				}
			}
			word := " is good"
			if len(offers) > 0 {
				word += ", where the settings offer " + strings.Join(offers, ", ")
			}
			_, err = fmt.Fprintln(a.out, args[0]+word)
			return err
		},
	}
}

func (a *app) sieveRun() *cobra.Command {
	var file, from, to string
	c := &cobra.Command{
		Use: "run FILE", Short: "Say what a script would do with a message",
		Long: `Say, line by line, what a script would do with a message, and what it comes to.
Nothing is sent or filed. No mailboxes are known, and nothing is remembered.`,
		Example: "  plic sieve run my.sieve --message letter.eml --from ann@example.org --to bob@example.com",
		Args:    arguments(1, 1, "a script"),
		RunE: func(_ *cobra.Command, args []string) error {
			script, err := compileFile(args[0])
			if err != nil {
				return err
			}
			if file != "" {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				a.in = f
			}
			text, err := a.readLetter()
			if err != nil {
				return err
			}
			m, err := message.Parse(strings.NewReader(string(text)), message.Limits{})
			if err != nil {
				return err
			}
			return a.tellSieve(script, &sieve.Input{Message: m, Body: strings.NewReader(string(text)), Now: a.now(), From: from, To: to})
		},
	}
	c.Flags().StringVar(&file, "message", "", "the message, a `file`; standard input if not given")
	c.Flags().StringVar(&from, "from", "", "the reverse-`path`")
	c.Flags().StringVar(&to, "to", "", "the `address` that it came by")
	return a.jsonFlag(c)
}

// step is a line of what a script does.
type sieveStep struct {
	Line   int    `json:"line,omitempty"`
	Text   string `json:"text"`
	Result bool   `json:"result,omitempty"`
}

func (a *app) tellSieve(script *sieve.Script, in *sieve.Input) error {
	var steps []sieveStep
	in.Trace = func(line int, text string) { steps = append(steps, sieveStep{Line: line, Text: text}) }
	r, err := script.Run(in)
	if err != nil {
		steps = append(steps, sieveStep{Text: "the script failed, the message is kept: " + err.Error(), Result: true})
	}
	for _, action := range r.Actions {
		steps = append(steps, sieveStep{Text: describe(action), Result: true})
	}
	if len(r.Edits) > 0 {
		steps = append(steps, sieveStep{Text: "the message is changed", Result: true})
	}
	if r.Keep && err == nil {
		steps = append(steps, sieveStep{Text: strings.TrimSpace("the message is in INBOX " + flagText(r.KeepFlags)), Result: true})
	}
	if !r.Keep && len(r.Actions) == 0 {
		steps = append(steps, sieveStep{Text: "the message is discarded", Result: true})
	}
	for _, s := range steps {
		if a.json {
			if err := json.NewEncoder(a.out).Encode(s); err != nil {
				return err
			}
			continue
		}
		head := "=>"
		if !s.Result {
			head = fmt.Sprintf("line %d:", s.Line)
		}
		if _, err := fmt.Fprintln(a.out, head, clean(s.Text)); err != nil {
			return err
		}
	}
	return nil
}

func flagText(flags []string) string {
	if len(flags) == 0 {
		return ""
	}
	return "with the flags " + strings.Join(flags, " ")
}

// describe says what an action does.
func describe(action sieve.Action) string {
	switch x := action.(type) {
	case *sieve.FileInto:
		return strings.TrimSpace("the message is in " + x.Mailbox + " " + flagText(x.Flags))
	case *sieve.Redirect:
		return "the message goes on to " + x.To
	case *sieve.Reject:
		return "the message is refused: " + x.Reason
	case *sieve.Vacation:
		return "an answer goes to " + x.To
	case *sieve.Notify:
		return "a notice goes to " + strings.Join(x.To, ", ")
	case *sieve.Pipe:
		return "the message goes to the program " + x.Program
	}
	return fmt.Sprintf("%T", action)
}
