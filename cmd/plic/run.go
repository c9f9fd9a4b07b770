package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
)

// host is all that the command line needs of the server.
type host interface {
	// New makes a site ready to run; up is called once it listens everywhere.
	New(ctx context.Context, c *config.Config, log *slog.Logger, up func(site)) (service, error)
	// Offline gives the operations of a data directory on which no server runs.
	Offline(ctx context.Context, c *config.Config) (control.Operations, io.Closer, error)
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
type endpoint struct{ Service, Address string }

// realHost is the server of this program.
type realHost struct{}

func (realHost) New(context.Context, *config.Config, *slog.Logger, func(site)) (service, error) {
	return nil, errors.New("the server is not part of this build")
}

func (realHost) Offline(context.Context, *config.Config) (control.Operations, io.Closer, error) {
	return control.Operations{}, nil, errors.New("no server runs on this directory, and working without one is not part of this build")
}
