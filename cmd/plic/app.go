package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is the command line with all that it gets from outside.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	hangups  func() <-chan os.Signal          // SIGHUP, from the call on
	terminal func(io.Reader) (prompter, bool) // of standard input
	live     bool                             // standard error is a terminal
	host     host

	configFile, dir string // --config, --dir
	json            bool
	letter          bool // all that is wanted is to hand in mail
}

// usageError is a fault of the command line itself.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run executes one command line and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "plic: " + line
		}
		fmt.Fprintln(a.err, clean(line))
	}
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(a.err, "Try: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "plic",
		Short: "The whole of e-mail in one program",
		Long: `plic is a mail server: it takes mail by SMTP, submission and LMTP, keeps it,
gives it to readers by IMAP and POP3, and brings the rest to other servers.

Commands talk to the server that runs on a data directory, and work on the
directory itself when none runs. They find it by --dir, by the data_dir of
--config, by $PLIC_DIR or $PLIC_CONFIG, by ./plic.toml, as ./plic-data, or by
/etc/plic/plic.toml, whichever comes first.`,
		Example: `  plic quickstart                      # try it
  plic serve --config /etc/plic/plic.toml
  plic account add ann@example.org
  plic queue list`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "configuration `file`")
	root.PersistentFlags().StringVar(&a.dir, "dir", "", "data `directory`")
	must(root.MarkPersistentFlagFilename("config", "toml"))
	must(root.MarkPersistentFlagDirname("dir"))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.quickstartCommand(), a.serveCommand(), a.configCommand(),
		a.domainCommand(), a.accountCommand(), a.aliasCommand(), a.directoryCommand(), a.sessionCommand(),
		a.queueCommand(), a.holdCommand(), a.suppressionCommand(), a.routeCommand(), a.journalCommand(), a.indexCommand(),
		a.dkimCommand(), a.tlsCommand(), a.tlsrptCommand(), a.dmarcCommand(), a.spamCommand(),
		a.checkCommand(), a.signCommand(),
		a.sieveCommand(),
		a.importCommand(), a.exportCommand(),
		a.backupCommand(), a.restoreCommand(), a.repairCommand(),
		a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			asGroup(c)
		}
	}
	return root
}

// helpCommand is "plic help queue list"; cobra's own would forgive a wrong name.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Help about any command",
		Example: "  plic help queue list",
		RunE: func(c *cobra.Command, args []string) error {
			topic, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("unknown command %q", strings.Join(args, " "))
			}
			topic.SetContext(c.Context())
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, d cobra.ShellCompDirective) {
			if topic, _, err := root.Find(args); err == nil {
				for _, sub := range topic.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// must is for names of flags in this package.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// group is a command that only holds others.
func group(c *cobra.Command, members ...*cobra.Command) *cobra.Command {
	c.AddCommand(members...)
	asGroup(c)
	return c
}

// asGroup makes a group refuse what is none of its members.
func asGroup(c *cobra.Command) {
	c.Args = nil
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usageError{errors.New(text)}
	}
}

// arguments makes a wrong number of arguments a fault of usage.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("%s is missing", what)
		}
		if most >= 0 && len(args) > most {
			return usagef("%q is one argument too many", args[most])
		}
		return nil
	}
}

// jsonFlag lets a command that lists print JSON lines.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON, one value in a line")
	return c
}
