package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"plic/internal/config"

	"github.com/spf13/cobra"
)

// logger writes to w as the configuration wants. level may be changed later.
func logger(w io.Writer, c *config.Config, level *slog.LevelVar) *slog.Logger {
	setLevel(level, c)
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: inWords}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// inWords writes an error by its words: some libraries' errors bring the stack of
// their callers along otherwise.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}

func setLevel(level *slog.LevelVar, c *config.Config) {
	var l slog.Level
	if l.UnmarshalText([]byte(c.Log.Level)) == nil { // "debug", "info", "warn", "error"
		level.Set(l)
	}
}

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run a site",
		Long: `Run a site until SIGINT or SIGTERM, which let what runs come to its end; a second
signal ends the process at once. SIGHUP reads the configuration again: a file with
a fault changes nothing.

The configuration is --config, $PLIC_CONFIG, ./plic.toml or /etc/plic/plic.toml;
--dir takes the place of its data_dir.`,
		Example: "  plic serve --config /etc/plic/plic.toml",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			load := func() (*config.Config, error) {
				loaded, _, err := a.loadNamed(nil)
				if err == nil && a.dir != "" {
					loaded.DataDir = a.dir
				}
				return loaded, err
			}
			running, err := load()
			if err != nil {
				return err
			}
			hangups := a.hangups()
			level := new(slog.LevelVar)
			log := logger(a.err, running, level)
			s, err := a.host.New(c.Context(), running, log, func(up site) {
				for _, e := range up.Endpoints {
					log.Info("listening", "service", e.Service, "address", e.Address)
				}
				log.Info("plic is up", "version", thisBuild().Version, "hostname", running.Hostname.String(), "data", running.DataDir)
			})
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(c.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				reloads(ctx, hangups, s, running, load, log, level)
			}()
			err = s.Run(ctx)
			stop()
			<-done
			return err
		},
	}
}

// reloads answers SIGHUP until ctx ends.
func reloads(ctx context.Context, hangups <-chan os.Signal, s service, running *config.Config, load func() (*config.Config, error), log *slog.Logger, level *slog.LevelVar) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		next, err := load()
		if err != nil {
			log.Error("the configuration was not reloaded, what ran before goes on", "error", err)
			continue
		}
		// What needs a restart stays as it runs, so that the next reload names it
		// again.
		merged, changes, err := config.Merge(running, next)
		if err == nil {
			err = s.Reload(merged)
		}
		if err != nil {
			log.Error("the configuration was not reloaded, what ran before goes on", "error", err)
			continue
		}
		setLevel(level, merged)
		for _, x := range changes {
			if x.Live {
				log.Info("setting changed", "setting", x.Setting, "old", x.Old, "new", x.New)
			} else {
				log.Warn("setting changed in the file, but needs a restart", "setting", x.Setting, "runs", x.Old, "file", x.New)
			}
		}
		log.Info("the configuration was reloaded", "changes", len(changes))
		running = merged
	}
}
