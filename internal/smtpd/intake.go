package smtpd

import (
	"context"
	"io"

	"plic/internal/mail"
)

// Intake takes mail in. Its errors are answered with mail.StatusOf. The
// envelope belongs to the session until Commit is called.
type Intake interface {
	// Sender says whether a transaction may begin with env.From.
	Sender(ctx context.Context, env *mail.Envelope) error
	// Recipient says whether it may go to one more recipient.
	Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error
	// Begin starts to take the message.
	Begin(ctx context.Context, env *mail.Envelope) (Draft, error)
}

// Draft is a message that is coming in. Abort is called exactly once unless
// Commit has returned nil.
type Draft interface {
	io.Writer
	Size() int64
	Body() mail.Body
	// Commit has the message durable for every recipient when it returns no
	// error. trace goes before the message. The outcomes, one for each
	// recipient, matter to LMTP.
	Commit(ctx context.Context, env *mail.Envelope, trace []byte) ([]mail.Outcome, error)
	Abort()
}
