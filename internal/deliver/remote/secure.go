package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/smtp"
)

// errNoTLS marks trouble after which an opportunistic delivery may try the
// same host without TLS.
var errNoTLS = errors.New("no TLS")

// secure starts TLS where the host offers it and the policy does not forbid
// it, RFC 3207. Everything learned before is forgotten.
func (s *session) secure(ctx context.Context, need Requirement) *trouble {
	if s.tls != "" || need.TLS == Cleartext {
		return nil
	}
	required := need.TLS != Opportunistic
	if !s.ext.Has("STARTTLS") {
		switch {
		case need.Offer != "": // RFC 8689 section 4.2.1
			return &trouble{status: mail.Reply(550, "5.7.10", "the message needs "+need.Offer+", and "+s.host+" does not offer TLS")}
		case required:
			return insecure("it does not offer TLS, which is required", nil)
		}
		return nil
	}
	s.offered = true
	reply, bad := s.ask(ctx, s.t.o.Timeouts.Command, "after STARTTLS", "STARTTLS")
	if bad != nil {
		return bad
	}
	if reply.Code != 220 {
		if closing(reply) {
			return refused(reply)
		}
		if required {
			return insecure("it did not start TLS, which is required", reply.Status())
		}
		s.mark = reply.Status()
		return nil // the conversation goes on in clear
	}
	if s.r.Buffered() > 0 {
		// Whoever sent more before the handshake wants it taken for something
		// that came through it (CVE-2011-0411).
		return insecure("something was put between STARTTLS and the handshake", nil)
	}
	if bad := s.handshake(ctx, need); bad != nil {
		return bad
	}
	return s.greet(ctx)
}

func insecure(text string, err error) *trouble {
	return &trouble{status: mail.Reply(451, "4.7.0", "the host is not secure enough: "+text), err: err}
}

// unproved is what a host's certificate lacks.
type unproved struct{ error }

// Unwrap gives what lies behind it.
func (u unproved) Unwrap() error { return u.error }

// handshake turns the connection into one with TLS.
func (s *session) handshake(ctx context.Context, need Requirement) *trouble {
	s.offered = true
	config := s.t.o.TLS.Clone()
	config.ServerName = s.serverName(need)
	// Opportunistic TLS protects against listeners only, RFC 7435; anybody
	// who can put himself between could take STARTTLS away as well.
	config.InsecureSkipVerify = need.TLS != Verified || need.Verify != nil
	if need.Verify != nil {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if err := need.Verify(state); err != nil {
				return unproved{err}
			}
			return nil
		}
	}
	conn := tls.Client(s.wire, config)
	within, cancel := context.WithTimeout(ctx, s.t.o.Timeouts.Command)
	defer cancel()
	s.wire.limit(s.wire.SetReadDeadline, s.t.o.Timeouts.Command)
	if err := conn.HandshakeContext(within); err != nil {
		var wrong *tls.CertificateVerificationError
		var other unproved
		if errors.As(err, &wrong) || errors.As(err, &other) {
			return insecure("its certificate is not good", err)
		}
		return &trouble{status: mail.Reply(451, "4.7.5", "the TLS handshake failed"), err: fmt.Errorf("%w: %w", errNoTLS, err)}
	}
	s.over(conn)
	state := conn.ConnectionState()
	s.tls = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	return nil
}

// serverName is the name that a host is asked for in the handshake.
func (s *session) serverName(need Requirement) string {
	if addr, ok := literal(s.host); ok {
		return addr.String()
	}
	if need.Name != "" {
		return need.Name
	}
	return s.host
}

// login shows our credentials to a smart host, RFC 4954.
func (s *session) login(ctx context.Context) *trouble {
	var login Login
	ok := false
	if s.t.o.Login != nil {
		login, ok = s.t.o.Login(s.hop.Login)
	}
	if !ok {
		return &trouble{status: mail.Reply(451, "4.3.5", "the credentials for the smart host are not configured"), err: fmt.Errorf("no credentials %q", s.hop.Login)}
	}
	if s.tls == "" && !login.AllowClear {
		return insecure("it does not offer TLS, without which we do not log in", nil)
	}
	client, err := sasl.Choose(s.ext.Mechanisms(), sasl.Credentials{User: login.User, Password: login.Password}, s.tls != "" || login.AllowClear, s.bindings())
	if err != nil {
		return &trouble{status: mail.Reply(451, "4.7.0", "we cannot log in at the smart host"), err: err}
	}
	reply, bad := s.exchange(ctx, client)
	switch {
	case bad != nil:
		return bad
	case reply.Code == 235:
		if err := client.Finish(); err != nil {
			return &trouble{status: mail.Reply(451, "4.7.0", "the smart host has not proved who it is"), err: err}
		}
		return nil
	}
	// Bad credentials are our trouble, not the sender's: the mail waits until
	// somebody has mended the configuration.
	return &trouble{status: mail.Reply(451, "4.7.8", "the smart host did not let us log in"), err: reply.Status(), said: closing(reply)}
}

// exchange runs AUTH until the reply that ends it.
func (s *session) exchange(ctx context.Context, client sasl.Client) (smtp.Reply, *trouble) {
	limit := s.t.o.Timeouts.Command
	response, err := client.Next(nil)
	line := "AUTH " + client.Mechanism()
	if err == nil && response != nil {
		if first := initial(response); len(line)+1+len(first) <= 510 { // RFC 4954 section 4
			line += " " + first
			response = nil
		}
	}
	for {
		if err != nil {
			return smtp.Reply{}, &trouble{status: mail.Reply(451, "4.7.0", "we cannot log in at the smart host"), err: err}
		}
		reply, bad := s.ask(ctx, limit, "during AUTH", line)
		if bad != nil || reply.Code != 334 {
			return reply, bad
		}
		if response == nil {
			var challenge []byte
			if challenge, err = base64.StdEncoding.DecodeString(reply.Status().Text); err == nil {
				response, err = client.Next(challenge)
			}
		}
		if err != nil { // take back what we began
			s.ask(ctx, min(limit, 10*time.Second), "during AUTH", "*")
			continue
		}
		line, response = base64.StdEncoding.EncodeToString(response), nil
	}
}

// initial writes an initial response: one that is there but empty is "=".
func initial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// bindings are what SCRAM can be bound to.
func (s *session) bindings() []sasl.Binding {
	conn, ok := s.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	var certificate *x509.Certificate
	if len(state.PeerCertificates) > 0 {
		certificate = state.PeerCertificates[0]
	}
	return sasl.Bindings(&state, certificate)
}
