package maildrop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// Sender hands letters in.
type Sender struct {
	FS  vfs.FS
	Dir string
	// Dial reaches the socket of a running server.
	Dial func(ctx context.Context) (net.Conn, error)
	// Patience is how long a server may say nothing; 2 min if zero.
	Patience time.Duration
}

// answer is what the server says to a letter.
type answer struct {
	Status mail.Status `json:"status"`
}

// Send hands a letter in: when it returns no error, the letter is safe. The
// running server is asked first; when none answers, the letter is left for the
// next. A refusal by the server is a mail.Status.
func (s Sender) Send(ctx context.Context, l *Letter, message []byte) error {
	if s.Patience == 0 {
		s.Patience = 2 * time.Minute
	}
	status, asked := s.ask(ctx, l, message)
	if asked == nil && status.Class() == mail.Success {
		return nil
	}
	if asked == nil && status.Class() == mail.Permanent {
		return status
	}
	if err := s.leave(l, message); err != nil {
		if asked == nil { // the server's words say more
			return status
		}
		return fmt.Errorf("no server takes it (%w) and it cannot be left in %s: %w", asked, s.Dir, err)
	}
	return nil
}

// ask sends the letter to the server.
func (s Sender) ask(ctx context.Context, l *Letter, message []byte) (mail.Status, error) {
	conn, err := s.Dial(ctx)
	if err != nil {
		return mail.Status{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err := write(&patient{conn, s.Patience}, l, message); err != nil {
		return mail.Status{}, err
	}
	var a answer
	if err := json.NewDecoder(&patient{conn, s.Patience}).Decode(&a); err != nil {
		return mail.Status{}, err
	}
	return a.Status, nil
}

// leave puts the letter into the directory, durably.
func (s Sender) leave(l *Letter, message []byte) (err error) {
	name := l.Token.String()
	rough := filepath.Join(s.Dir, folder, "."+name)
	f, err := s.FS.Create(rough, vfs.Mail)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.FS.Remove(rough))
		}
	}()
	err = errors.Join(vfs.Readable(f), write(f, l, message))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.FS.Rename(rough, filepath.Join(s.Dir, folder, name))
	}
	if err == nil {
		err = vfs.SyncAround(f)
	}
	return errors.Join(err, f.Close())
}

// patient is a connection whose every step may take so long.
type patient struct {
	net.Conn
	d time.Duration
}

// Read reads within the time.
func (p *patient) Read(b []byte) (int, error) {
	p.SetReadDeadline(time.Now().Add(p.d))
	return p.Conn.Read(b)
}

// Write writes within the time.
func (p *patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(p.d))
	return p.Conn.Write(b)
}
