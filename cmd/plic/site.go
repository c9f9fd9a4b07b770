package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"

	"github.com/spf13/cobra"
)

const systemConfig = "/etc/plic/plic.toml"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findConfig is the configuration file that a site runs with.
func (a *app) findConfig() (string, error) {
	for _, path := range []string{a.configFile, a.env("PLIC_CONFIG")} {
		if path != "" {
			return path, nil
		}
	}
	for _, path := range []string{"plic.toml", systemConfig} {
		if exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration: there is no plic.toml here and no %s; name one with --config, or try plic without one: plic quickstart", systemConfig)
}

// load reads a configuration; a letter may be handed in by who may not read all
// that it names.
func (a *app) load(path string) (*config.Config, error) {
	if a.letter {
		return config.Read(path)
	}
	return config.Load(path)
}

// site finds the data directory, by way of its configuration if there is one.
func (a *app) site() (*config.Config, error) {
	plain := func(dir string) (*config.Config, error) {
		c := config.Default()
		c.Hostname = mail.MustDomain("localhost")
		c.DataDir = dir
		if !exists(dir) {
			return nil, fmt.Errorf("there is no data directory %s: `plic quickstart --dir %s` makes one", dir, dir)
		}
		if !ours(dir) {
			return nil, fmt.Errorf("%s is no data directory of plic: it holds other things", dir)
		}
		return c, nil
	}
	switch file, dir := a.configFile, a.dir; {
	case dir != "" && file != "":
		c, err := a.load(file)
		if err == nil {
			c.DataDir = dir
		}
		return c, err
	case dir != "":
		return plain(dir)
	case file != "":
		return a.load(file)
	}
	if dir := a.env("PLIC_DIR"); dir != "" {
		return plain(dir)
	}
	if file := a.env("PLIC_CONFIG"); file != "" {
		return a.load(file)
	}
	switch {
	case exists("plic.toml"):
		return a.load("plic.toml")
	case exists("plic-data"):
		return plain("plic-data")
	case exists(systemConfig):
		return a.load(systemConfig)
	}
	return nil, fmt.Errorf("no data directory: there is no plic.toml and no plic-data here, and no %s; name one with --dir or --config", systemConfig)
}

// ours says that a directory holds a site, or nothing that one would disturb.
func ours(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return true // whoever opens it will say what is wrong
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "records" || e.Name() == "control.sock" })
}

// with does something with the operations of the site: of its server if one
// runs, else of the directory itself.
func (a *app) with(ctx context.Context, do func(control.Operations) error) error {
	c, err := a.site()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, c.DataDir)
	if err == nil {
		return errors.Join(do(client.Operations()), client.Close())
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	o, closer, err := a.host.Offline(ctx, c)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", filepath.Clean(c.DataDir), err)
	}
	return errors.Join(do(o), closer.Close())
}

// complete makes completions from what a running server knows. Opening a
// directory would take too long for that.
func (a *app) complete(names func(context.Context, control.Operations) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := a.site()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client, err := control.Dial(cmd.Context(), c.DataDir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer client.Close()
		return names(cmd.Context(), client.Operations()), cobra.ShellCompDirectiveNoFileComp
	}
}
