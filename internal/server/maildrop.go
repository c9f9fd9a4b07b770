package server

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/maildrop"
	"plic/internal/vfs"
)

// Maildrop is where programs of this host hand mail in.
func Maildrop(c *config.Config) string {
	if c.Submission.Maildrop != "" {
		return c.Submission.Maildrop
	}
	return filepath.Join(c.DataDir, "maildrop")
}

// Origin is the domain of addresses that such programs give without one.
func Origin(c *config.Config) mail.Domain {
	if !c.Submission.Origin.IsZero() {
		return c.Submission.Origin
	}
	return c.Hostname
}

// openMaildrop makes the directory and the socket for letters.
func (s *Server) openMaildrop() (err error) {
	c := s.o.Config
	s.maildrop = &maildrop.Taker{FS: vfs.Disk(), Dir: Maildrop(c), Take: s.site.take, Log: s.o.Log}
	if err := s.maildrop.Prepare(); err != nil {
		return fmt.Errorf("submission.maildrop: %w", err)
	}
	if s.letters, err = control.ListenAs(s.maildrop.Dir, maildrop.SocketName, 0o666); err != nil {
		return fmt.Errorf("submission.maildrop: %w", err)
	}
	return nil
}

// forget drops what is remembered of letters, from time to time.
func (s *Server) forget(ctx context.Context) error {
	const pause, age = 10 * time.Minute, time.Hour
	timer := time.NewTicker(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := s.site.office.ForgetDrops(ctx, age, s.maildrop.Holds)
		if err != nil && ctx.Err() == nil {
			s.o.Log.Warn("old notes of letters stay", "error", err)
		}
	}
}

// take takes a letter of a user of this host.
func (s *site) take(ctx context.Context, uid int, l *maildrop.Letter, message io.Reader) error {
	c, now := s.config, time.Now()
	env := &mail.Envelope{
		ID: mail.NewID(now), From: l.From, To: l.To, Kind: l.Kind, UTF8: l.UTF8, Ret: l.Ret, EnvelopeID: l.EnvelopeID,
		Size: l.Size, Received: now, Origin: mail.Origin{Service: "local", Helo: c.Hostname.String()},
	}
	who := ""
	if uid >= 0 {
		who = fmt.Sprintf(" (from userid %d)", uid)
	}
	trace := fmt.Sprintf("Received: by %s%s with local id %s;\r\n\t%s\r\n", c.Hostname, who, env.ID, now.Format(time.RFC1123Z))
	// The token is of the program's choice: it counts for its user only.
	return s.office.Drop(ctx, env, []byte(trace), message, fmt.Sprintf("%d/%s", uid, l.Token))
}
