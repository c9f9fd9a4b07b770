// Package ldap finds accounts, groups and the values of tables in an LDAP
// directory: OpenLDAP, Active Directory and others. Passwords are checked by a
// bind as their user, or by the hash that an entry shows.
//
// What a stranger writes is escaped wherever it comes into a filter or a name:
// RFC 4515, RFC 4514. The protocol is that of RFC 4511, the ways to bind those
// of RFC 4513, results come in pages by RFC 2696.
package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"plic/internal/directory/source"
	"plic/internal/pool"
)

// Security is how a connection is kept private.
type Security string

// The ways.
const (
	Clear    Security = "off"
	StartTLS Security = "starttls" // RFC 4511 section 4.14
	TLS      Security = "on"       // from the first byte, "ldaps"
)

// Options say which servers are asked, and as whom.
type Options struct {
	// Hosts are servers with the same entries, "host", "host:port" or the path
	// of a socket, in the order of trying.
	Hosts       []string
	Security    Security
	TLS         func(host string) *tls.Config // nil for that of the system
	BindDN      string                        // of us; none binds anonymously
	Password    func() (string, error)        // asked at each connection; nil for none
	Connections int                           // at most, and as many for binds of users; 10 if 0
	Timeout     time.Duration                 // of a request; 5 seconds if 0
	Now         func() time.Time              // time.Now if nil
}

// Server is an LDAP directory. It connects when it is first asked, and again
// whenever it must.
type Server struct {
	o     Options
	hosts *source.Hosts
	look  *pool.Pool[*ldap.Conn] // bound as us
	users *pool.Pool[*ldap.Conn] // bound as anybody
}

// How long connections live.
const (
	connectTimeout = 3 * time.Second
	maxIdleTime    = 5 * time.Minute
	maxLifetime    = 10 * time.Minute
)

// Open makes a Server; nothing is connected yet.
func Open(o Options) (*Server, error) {
	if len(o.Hosts) == 0 {
		return nil, errors.New("ldap: no host is named")
	}
	if o.Connections <= 0 {
		o.Connections = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Security == "" {
		o.Security = Clear
	}
	if o.Password == nil {
		o.Password = func() (string, error) { return "", nil }
	}
	if o.TLS == nil {
		o.TLS = func(host string) *tls.Config { return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12} }
	}
	s := &Server{o: o, hosts: source.NewHosts(o.Hosts, min(connectTimeout, o.Timeout), o.Now)}
	s.look, s.users = s.pool(true), s.pool(false)
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error {
	return errors.Join(s.look.Close(), s.users.Close())
}

// pool is connections that are bound as us, or as whoever is to be tried. To look
// or to bind again does no harm.
func (s *Server) pool(bound bool) *pool.Pool[*ldap.Conn] {
	return pool.New(pool.Options[*ldap.Conn]{
		Dial: func(ctx context.Context) (*ldap.Conn, error) { return s.connect(ctx, bound) },
		Lost: lost,
		Fit:  func(c *ldap.Conn) bool { return !c.IsClosing() },
		Most: s.o.Connections, IdleFor: maxIdleTime, Age: maxLifetime, Now: s.o.Now,
	})
}

// connect opens a connection to the first host that works, bound as us if it is
// for looking.
func (s *Server) connect(ctx context.Context, bound bool) (conn *ldap.Conn, err error) {
	err = s.hosts.Connect(ctx, func(ctx context.Context, host string) error {
		conn, err = s.dial(ctx, host)
		if err != nil {
			return err
		}
		if bound && s.o.BindDN != "" {
			err = s.bindAsUs(conn)
		}
		if err != nil {
			conn.Close()
		}
		return err
	})
	return conn, err
}

func (s *Server) bindAsUs(conn *ldap.Conn) error {
	password, err := s.o.Password()
	if err != nil {
		return err
	}
	if err := conn.Bind(s.o.BindDN, password); err != nil { // an empty password is refused by the library
		return fmt.Errorf("bind as %s: %w", s.o.BindDN, err)
	}
	return nil
}

func (s *Server) dial(ctx context.Context, host string) (*ldap.Conn, error) {
	port := "389"
	if s.o.Security == TLS {
		port = "636"
	}
	network, address, name := "tcp", host, host
	if strings.HasPrefix(host, "/") {
		network = "unix"
	} else if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.Trim(host, "[]")
		address = net.JoinHostPort(name, port)
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if s.o.Security == TLS {
		secure := tls.Client(raw, s.o.TLS(name))
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		raw = secure
	}
	conn := ldap.NewConn(raw, s.o.Security == TLS)
	conn.SetTimeout(s.o.Timeout)
	conn.Start()
	if s.o.Security == StartTLS {
		if err := conn.StartTLS(s.o.TLS(name)); err != nil {
			conn.Close()
			return nil, fmt.Errorf("starttls: %w", err)
		}
	}
	return conn, nil
}

// lost says that the server has gone, or will have none of us now.
func lost(err error) bool {
	var network net.Error
	return ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultUnavailable, ldap.LDAPResultBusy) || errors.As(err, &network) || errors.Is(err, io.EOF)
}
