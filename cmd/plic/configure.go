package main

import (
	"errors"
	"fmt"
	"strings"

	"plic/internal/config"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "config", Short: "The configuration file",
		Example: "  plic config check /etc/plic/plic.toml\n  plic config reference --sample > plic.toml",
	}, a.configCheck(), a.configShow(), a.configReference())
}

// loadNamed loads the file of an argument, or the one that serve would take.
func (a *app) loadNamed(args []string) (*config.Config, string, error) {
	if len(args) > 0 {
		if a.configFile != "" {
			return nil, "", usagef("name the file once: %s or --config %s", args[0], a.configFile)
		}
		a.configFile = args[0]
	}
	path, err := a.findConfig()
	if err != nil {
		return nil, "", err
	}
	c, err := config.Load(path)
	var problems config.Problems
	if errors.As(err, &problems) {
		err = fmt.Errorf("%s\n%s", faults(path, len(problems)), problems.Error())
	}
	return c, path, err
}

func faults(path string, n int) string {
	if n == 1 {
		return path + " has a fault:"
	}
	return fmt.Sprintf("%s has %d faults:", path, n)
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Find every fault of a file",
		Long: `Find every fault of a file, also in the queries and filters of sources, in tables
and places of mail, and in the files that they name on this host. No other host is
asked.`,
		Example: "  plic config check\n  plic config check /etc/plic/plic.toml",
		Args:    arguments(0, 1, ""),
		RunE: func(_ *cobra.Command, args []string) error {
			c, path, err := a.loadNamed(args)
			if err != nil {
				return err
			}
			if err := a.host.Check(c); err != nil {
				return fmt.Errorf("%s\n%w", faults(path, 1+strings.Count(err.Error(), "\n")), err)
			}
			fmt.Fprintln(a.out, path+" is good")
			return nil
		},
	}
}

func (a *app) configShow() *cobra.Command {
	var changed bool
	c := &cobra.Command{
		Use: "show [FILE]", Short: "Print every setting as it holds",
		Example: "  plic config show\n  plic config show --changed",
		Args:    arguments(0, 1, ""),
		RunE: func(_ *cobra.Command, args []string) error {
			c, _, err := a.loadNamed(args)
			if err != nil {
				return err
			}
			if !changed {
				fmt.Fprint(a.out, c.Show())
				return nil
			}
			for _, x := range config.Changes(config.Default(), c) {
				fmt.Fprintf(a.out, "%s = %s\n", x.Setting, x.New)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&changed, "changed", false, "only what differs from the defaults")
	return c
}

func (a *app) configReference() *cobra.Command {
	var sample bool
	c := &cobra.Command{
		Use: "reference", Short: "Print the documentation of every setting",
		Example: "  plic config reference | less\n  plic config reference --sample > plic.toml",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if sample {
				fmt.Fprint(a.out, config.Sample("mail.example.org"))
				return nil
			}
			fmt.Fprint(a.out, config.Reference())
			return nil
		},
	}
	c.Flags().BoolVar(&sample, "sample", false, "print a file with every setting instead, to be edited")
	return c
}
