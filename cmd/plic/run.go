package main

import (
	"context"
	"io"
	"log/slog"

	"plic/internal/backup"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/server"
)

// host is all that the command line needs of the server.
type host interface {
	// New makes a site ready to run; up is called once it listens everywhere.
	New(ctx context.Context, c *config.Config, log *slog.Logger, up func(site)) (service, error)
	// Check finds what keeps a site with these settings from starting.
	Check(c *config.Config) error
	// Offline gives the operations of a data directory on which no server runs.
	Offline(ctx context.Context, c *config.Config) (control.Operations, io.Closer, error)
	// Storage is what can be done with the data of a directory on which no server runs.
	Storage(c *config.Config) control.Storage
	// Restore makes the data directory of a configuration of a backup, and gives
	// what is wrong with the backup's files.
	Restore(ctx context.Context, from string, c *config.Config, progress func(backup.Progress)) (backup.Backup, []backup.Problem, error)
}

// service is a site that runs.
type service interface {
	// Run serves until ctx ends, then stops in two stages.
	Run(ctx context.Context) error
	// Reload puts the live settings of a checked configuration to use.
	Reload(c *config.Config) error
}

// site is what a running service tells of itself.
type site struct {
	Endpoints  []endpoint
	CA         string // file with the certificate of the local authority, "" if there is none
	Operations control.Operations
	// Submit takes a message for accounts of ours, as if it came in.
	Submit func(ctx context.Context, from, to mail.Address, message []byte) error
}

// endpoint is an address where a service listens.
type endpoint = server.Endpoint

// realHost is the server of this program.
type realHost struct{}

func (realHost) New(ctx context.Context, c *config.Config, log *slog.Logger, up func(site)) (service, error) {
	return server.New(ctx, server.Options{Config: c, Log: log, Up: func(s *server.Server) {
		up(site{Endpoints: s.Endpoints(), CA: s.CA(), Operations: s.Operations(), Submit: s.Submit})
	}})
}

func (realHost) Check(c *config.Config) error { return server.Check(c) }

func (realHost) Offline(ctx context.Context, c *config.Config) (control.Operations, io.Closer, error) {
	return server.Offline(ctx, c, slog.New(slog.DiscardHandler))
}

func (realHost) Storage(c *config.Config) control.Storage {
	return server.Storage(c, slog.New(slog.DiscardHandler))
}

func (realHost) Restore(ctx context.Context, from string, c *config.Config, progress func(backup.Progress)) (backup.Backup, []backup.Problem, error) {
	return server.Restore(ctx, from, c, slog.New(slog.DiscardHandler), progress)
}
