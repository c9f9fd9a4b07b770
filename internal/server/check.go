package server

import (
	"errors"
	"log/slog"

	"plic/internal/config"
)

// Check finds what keeps a server with these settings from starting, beyond what
// they say by themselves: queries, filters, tables, places of mail, and the
// files that they name. It asks no other host.
func Check(c *config.Config) error {
	settings := *c
	if settings.Rewrite.SRSSecrets == "" {
		settings.Rewrite.SRS = false // its secret is in the data directory
	}
	s := &site{config: &settings, log: slog.New(slog.DiscardHandler)}
	if err := s.openSources(); err != nil {
		return err
	}
	relay, err := smartHost(&settings)
	_, bad := s.newRouting(relay)
	return errors.Join(err, bad, s.openPlaces(), s.openRules(), s.sources.close())
}
