package smtpd

import (
	"context"

	"plic/internal/mail"
)

// Guard says at each stage whether a session may go on. Its errors are answered
// with mail.StatusOf; a client that it refuses is not greeted.
type Guard interface {
	Client(ctx context.Context, o *mail.Origin) error
	Hello(ctx context.Context, o *mail.Origin) error
	// Sender is asked before the Intake is, Recipient after it has said yes.
	Sender(ctx context.Context, env *mail.Envelope) error
	Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error
	// Gone says that a connection has ended.
	Gone(conn mail.ID)
}

// nobody is the Guard that lets everybody pass.
type nobody struct{}

func (nobody) Client(context.Context, *mail.Origin) error                      { return nil }
func (nobody) Hello(context.Context, *mail.Origin) error                       { return nil }
func (nobody) Sender(context.Context, *mail.Envelope) error                    { return nil }
func (nobody) Recipient(context.Context, *mail.Envelope, mail.Recipient) error { return nil }
func (nobody) Gone(mail.ID)                                                    {}

// origin is what is known of the client.
func (s *session) origin(helo string, utf8 bool) mail.Origin {
	return mail.Origin{
		Conn: s.id, Service: s.kind.String(), Protocol: s.protocol(utf8),
		Remote: s.remote, Local: s.ours, Name: s.known.Name, Helo: helo,
		TLS: s.known.TLS, Account: s.account,
	}
}
