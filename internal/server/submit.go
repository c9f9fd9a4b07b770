package server

import (
	"context"
	"fmt"
	"time"

	"plic/internal/mail"
)

// Submit takes a message of this host's own into custody, as if it had come in.
func (s *Server) Submit(ctx context.Context, from, to mail.Address, message []byte) error {
	return s.site.submit(ctx, from, to, message)
}

func (s *site) submit(ctx context.Context, from, to mail.Address, message []byte) error {
	now := time.Now()
	env := &mail.Envelope{
		ID: mail.NewID(now), From: from, To: []mail.Recipient{{Address: to}}, Received: now,
		Origin: mail.Origin{Service: "local", Helo: s.config.Hostname.String()},
	}
	draft, err := s.office.Begin(ctx, env)
	if err != nil {
		return err
	}
	if _, err := draft.Write(message); err != nil {
		draft.Abort()
		return fmt.Errorf("submit: %w", err)
	}
	trace := fmt.Sprintf("Received: by %s with local id %s; %s\r\n", s.config.Hostname, env.ID, now.Format(time.RFC1123Z))
	if _, err := draft.Commit(ctx, env, []byte(trace)); err != nil {
		draft.Abort()
		return err
	}
	return nil
}
