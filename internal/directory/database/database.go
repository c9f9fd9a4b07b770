// Package database finds accounts, aliases and the values of tables in SQL
// databases that a site has: PostgreSQL, MySQL and MariaDB, SQLite. What is
// asked is in the settings: queries with named parameters, which become the
// parameters of prepared statements. No text of a stranger is ever part of a
// query.
package database

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"plic/internal/directory/source"
)

// Kind is a kind of database.
type Kind string

// The kinds.
const (
	PostgreSQL Kind = "pgsql"
	MySQL      Kind = "mysql" // and MariaDB
	SQLite     Kind = "sqlite"
)

// Options say which database it is.
type Options struct {
	Kind Kind
	// Hosts are servers with the same data, "host", "host:port" or the path of
	// a socket (for PostgreSQL of its directory), in the order of trying.
	Hosts          []string
	Database, User string
	Password       func() (string, error) // asked at each connection; nil for none
	File           string                 // of SQLite, in place of all that
	TLS            func(host string) *tls.Config
	Connections    int           // at most; 10 if 0
	Timeout        time.Duration // of a query with all that it needs; 5 seconds if 0
	Now            func() time.Time
}

// Database is an open database. It connects when it is first asked, and again
// whenever it must.
type Database struct {
	o  Options
	db *sql.DB
}

// How long connections live: long enough to be worth their cost, and short
// enough to come back to the first host.
const (
	connectTimeout = 3 * time.Second
	maxIdleTime    = 5 * time.Minute
	maxLifetime    = 10 * time.Minute
)

// Open makes a Database; nothing is connected yet.
func Open(o Options) (*Database, error) {
	if o.Connections <= 0 {
		o.Connections = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Password == nil {
		o.Password = func() (string, error) { return "", nil }
	}
	if o.TLS == nil {
		o.TLS = func(string) *tls.Config { return nil }
	}
	var dial dialer
	switch o.Kind {
	case PostgreSQL:
		dial = o.dialPostgreSQL
	case MySQL:
		dial = o.dialMySQL
	case SQLite:
		if o.File == "" {
			return nil, errors.New("sqlite: no file is named")
		}
		o.Hosts = []string{o.File}
		dial = dialSQLite
	default:
		return nil, fmt.Errorf("there is no kind of database %q", o.Kind)
	}
	if len(o.Hosts) == 0 {
		return nil, fmt.Errorf("%s: no host is named", o.Kind)
	}
	c := &connector{hosts: source.NewHosts(o.Hosts, min(connectTimeout, o.Timeout), o.Now), dial: dial}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(o.Connections)
	db.SetMaxIdleConns(o.Connections)
	db.SetConnMaxIdleTime(maxIdleTime)
	db.SetConnMaxLifetime(maxLifetime)
	return &Database{o, db}, nil
}

// Close ends all connections.
func (d *Database) Close() error { return d.db.Close() }

// dialer opens a connection to a host.
type dialer func(ctx context.Context, host string) (driver.Conn, error)

// connector is a driver.Connector to the first host that works.
type connector struct {
	hosts *source.Hosts
	dial  dialer
}

// Connect opens a connection.
func (c *connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	err = c.hosts.Connect(ctx, func(ctx context.Context, host string) error {
		conn, err = c.dial(ctx, host)
		return err
	})
	return conn, err
}

// Driver is asked for by database/sql, which needs nothing of it.
func (c *connector) Driver() driver.Driver { return nil }

// place splits a host from its port.
func place(host string, port uint16) (string, uint16, error) {
	h, p, err := net.SplitHostPort(host)
	if err != nil {
		return strings.Trim(host, "[]"), port, nil
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: %q is no port", host, p)
	}
	return h, uint16(n), nil
}

func (o *Options) dialPostgreSQL(ctx context.Context, host string) (driver.Conn, error) {
	// What the environment might say is said here.
	c, err := pgx.ParseConfig("host=localhost user=x dbname=x password=x sslmode=disable application_name=plic")
	if err != nil {
		return nil, err
	}
	c.Host, c.Port = host, 5432
	if !strings.HasPrefix(host, "/") {
		if c.Host, c.Port, err = place(host, 5432); err != nil {
			return nil, err
		}
		c.TLSConfig = o.TLS(c.Host)
	} else if dir, port, ok := strings.Cut(host, ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q: %q is no port", host, port)
		}
		c.Host, c.Port = dir, uint16(n)
	}
	c.User, c.Database, c.Fallbacks = o.User, o.Database, nil
	if c.Password, err = o.Password(); err != nil {
		return nil, err
	}
	return stdlib.GetConnector(*c).Connect(ctx)
}

// silent is a logger of the MySQL driver: every error comes back as such.
type silent struct{}

// Print says nothing.
func (silent) Print(...any) {}

func (o *Options) dialMySQL(ctx context.Context, host string) (driver.Conn, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", host
	if strings.HasPrefix(host, "/") {
		c.Net = "unix"
	} else {
		name, port, err := place(host, 3306)
		if err != nil {
			return nil, err
		}
		c.Addr, c.TLS = net.JoinHostPort(name, strconv.Itoa(int(port))), o.TLS(name)
	}
	password, err := o.Password()
	if err != nil {
		return nil, err
	}
	c.User, c.Passwd, c.DBName = o.User, password, o.Database
	c.Timeout, c.ReadTimeout, c.WriteTimeout, c.Logger = connectTimeout, o.Timeout, o.Timeout, silent{}
	if err := c.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	made, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return made.Connect(ctx)
}

// dialSQLite opens a file for reading only.
func dialSQLite(_ context.Context, path string) (driver.Conn, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro&_pragma=busy_timeout(3000)&_pragma=query_only(1)"}
	return new(sqlite.Driver).Open(u.String())
}
