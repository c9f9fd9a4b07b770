package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The user, the password and the database of the servers of databases.
const (
	DatabaseUser     = "plic"
	DatabasePassword = "secret"
	DatabaseName     = "mail"
)

// PostgreSQL is a server on port 5432 of its address.
type PostgreSQL struct {
	Dir     string // made if missing, and used again if it is there
	Address string
	daemon  daemon
}

const postgresBin = "/usr/lib/postgresql/*/bin"

// Start runs it until Stop or Kill.
func (p *PostgreSQL) Start(ctx context.Context) error {
	server, err := found("postgres", postgresBin)
	if err != nil {
		return err
	}
	p.daemon.dir, p.daemon.user = p.Dir, "postgres"
	if err := p.daemon.make(); err != nil {
		return err
	}
	data := filepath.Join(p.Dir, "data")
	fresh := false
	if _, err := os.Stat(data); err != nil {
		fresh = true
		initdb, err := found("initdb", postgresBin)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.Dir, "password"), []byte(DatabasePassword+"\n"), 0o644); err != nil {
			return err
		}
		if _, err := p.daemon.run("", initdb, "-D", data, "-U", DatabaseUser, "-A", "scram-sha-256", "--pwfile", filepath.Join(p.Dir, "password"),
			"--no-sync", "-E", "UTF8", "--locale=C", "--no-instructions"); err != nil {
			return err
		}
	}
	if err := p.daemon.start(server, "-D", data, "-k", p.Dir, "-c", "listen_addresses="+p.Address, "-c", "port=5432", "-c", "fsync=off",
		"-c", "max_connections=50", "-c", "shared_buffers=16MB"); err != nil {
		return err
	}
	err = p.daemon.up(ctx, func(context.Context) error { _, err := p.psql("postgres", "SELECT 1"); return err })
	if err == nil && fresh {
		_, err = p.psql("postgres", "CREATE DATABASE "+DatabaseName)
	}
	return err
}

func (p *PostgreSQL) psql(database, text string) (string, error) {
	return p.daemon.run(text, "psql", "-qAt", "-v", "ON_ERROR_STOP=1", "postgresql://"+DatabaseUser+":"+DatabasePassword+"@"+p.Address+"/"+database)
}

// Exec runs statements and gives what they print.
func (p *PostgreSQL) Exec(text string) (string, error) { return p.psql(DatabaseName, text) }

// Stop ends it in order.
func (p *PostgreSQL) Stop() error { return p.daemon.signal(syscall.SIGINT, true) }

// Kill ends it at once, as a crash does: connections break, nothing is tidied up.
func (p *PostgreSQL) Kill() error { return p.daemon.signal(syscall.SIGQUIT, true) }

// Log is the end of what it wrote.
func (p *PostgreSQL) Log() string { return p.daemon.log() }

// MariaDB is a server on port 3306 of its address.
type MariaDB struct {
	Dir     string // made if missing, and used again if it is there
	Address string
	daemon  daemon
}

// Start runs it until Stop or Kill.
func (m *MariaDB) Start(ctx context.Context) error {
	server, err := found("mariadbd", "/usr/sbin")
	if err != nil {
		return err
	}
	m.daemon.dir, m.daemon.user = m.Dir, "mysql"
	if err := m.daemon.make(); err != nil {
		return err
	}
	data := filepath.Join(m.Dir, "data")
	fresh := false
	if _, err := os.Stat(data); err != nil {
		fresh = true
		if _, err := m.daemon.run("", "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db",
			"--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync", "--tmpdir="+m.Dir); err != nil {
			return err
		}
	}
	if err := m.daemon.start(server, "--no-defaults", "--datadir="+data, "--socket="+m.socket(), "--bind-address="+m.Address, "--port=3306", "--pid-file="+filepath.Join(m.Dir, "pid"), "--tmpdir="+m.Dir, // one that starts clears it
		"--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2", "--performance-schema=off"); err != nil {
		return err
	}
	err = m.daemon.up(ctx, func(context.Context) error { _, err := m.mysql("", "SELECT 1"); return err })
	if err == nil && fresh {
		_, err = m.mysql("", fmt.Sprintf("CREATE DATABASE %s CHARACTER SET utf8mb4; CREATE USER %s@'%%' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO %[2]s@'%%';",
			DatabaseName, DatabaseUser, DatabasePassword))
	}
	return err
}

func (m *MariaDB) socket() string { return filepath.Join(m.Dir, "socket") }

func (m *MariaDB) mysql(database, text string) (string, error) {
	return m.daemon.run(text, "mariadb", "--no-defaults", "-BN", "-S", m.socket(), "-u", "root", database)
}

// Exec runs statements and gives what they print.
func (m *MariaDB) Exec(text string) (string, error) { return m.mysql(DatabaseName, text) }

// Stop ends it in order.
func (m *MariaDB) Stop() error { return m.daemon.signal(syscall.SIGTERM, true) }

// Kill ends it at once.
func (m *MariaDB) Kill() error { return m.daemon.signal(syscall.SIGKILL, true) }

// Log is the end of what it wrote.
func (m *MariaDB) Log() string { return m.daemon.log() }
