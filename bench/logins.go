package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite"

	"plic/test/peers"
)

// people is how many accounts the database has, and clients how many log in at
// the same time.
const (
	people  = 1000
	clients = 16
)

// directoryNames are what is measured with accounts in databases.
var directoryNames = []string{"logins", "lookups"}

// hashed is the password under a cheap hash with a salt.
func hashed() string {
	salt := make([]byte, 8)
	rand.Read(salt)
	sum := sha256.Sum256(append([]byte(password), salt...))
	return "{SSHA256}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

// accountTables are the tables of the how-tos with all people.
func accountTables() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE virtual_domains (id int, name varchar(50));\nCREATE TABLE virtual_users (id int, domain_id int, email varchar(100) PRIMARY KEY, password varchar(150));\n" +
		"CREATE TABLE virtual_aliases (id int, domain_id int, source varchar(100), destination varchar(100));\nCREATE INDEX by_source ON virtual_aliases (source);\n")
	fmt.Fprintf(&b, "INSERT INTO virtual_domains VALUES (1, '%s');\n", domain)
	for i := range people {
		fmt.Fprintf(&b, "INSERT INTO virtual_users VALUES (%d, 1, 'p%d@%s', '%s');\n", i, i, domain, hashed())
	}
	return b.String()
}

// directoryRates measures how many logins a second there are with accounts in a
// database, and how long recipients are looked up, of plic and of Dovecot, in
// turns, and prints tables.
func directoryRates(ctx context.Context, only words, rounds, n int) error {
	dir, err := os.MkdirTemp("/tmp", "plic-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	pg := &peers.PostgreSQL{Dir: dir + "/pg", Address: "127.78.0.18"}
	if err := pg.Start(ctx); err != nil {
		return err
	}
	defer pg.Kill()
	if _, err := pg.Exec("BEGIN;" + accountTables() + "COMMIT; GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; ANALYZE"); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dir+"/mail.db")
	if err != nil {
		return err
	}
	_, err = db.Exec("BEGIN;" + accountTables() + "COMMIT")
	if err := errors.Join(err, db.Close(), os.Chmod(dir+"/mail.db", 0o644), os.WriteFile(dir+"/secret", []byte(peers.DatabasePassword), 0o644)); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/plic", "./cmd/plic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	postgres := `driver = "pgsql"` + "\n" + `hosts = ["127.78.0.18"]` + "\n" + `user = "` + peers.DatabaseUser + `"` + "\n" + `database = "` + peers.DatabaseName + `"` + "\npassword_file = \"" + dir + "/secret\"\n"
	databases := []struct{ name, source, connect string }{
		{"PostgreSQL", postgres, "driver = pgsql\nconnect = host=127.78.0.18 dbname=" + peers.DatabaseName + " user=" + peers.DatabaseUser + " password=" + peers.DatabasePassword},
		{"SQLite", "driver = \"sqlite\"\nfile = \"" + dir + "/mail.db\"\n", "driver = sqlite\nconnect = " + dir + "/mail.db"},
	}
	const forget = "cache = \"0s\"\ncache_missing = \"0s\"\n"
	for _, what := range directoryNames {
		if !only.in(what) {
			continue
		}
		fmt.Printf("| accounts in | server | %s a second | median | 99 %% | questions for each |\n|---|---|---|---|---|---|\n", what)
		for _, x := range databases {
			act, sides := manyLogins, []loginSide{plicLogins("plic", dir, x.source+forget, "0s"), plicLogins("plic, remembering as usual", dir, x.source, "5m"), dovecotLogins(dir, x.connect)}
			if what == "lookups" {
				act, sides = manyRecipients, []loginSide{plicLookups("plic", dir, x.source+forget), plicLookups("plic, remembering as usual", dir, x.source), dovecotLookups(dir, x.connect)}
			}
			if err := compareSides(ctx, x.name, sides, rounds, n, act); err != nil {
				return err
			}
		}
	}
	return nil
}

// loginSide is a server that people log in to.
type loginSide struct {
	name, address string
	start         func(context.Context) (stop func(), err error)
	questions     func() (float64, bool) // that the database was asked so far
}

const loginsConfig = `hostname = "mx.local.test"
data_dir = "%[1]s/data"
listen = {smtp = [], lmtp = ["127.78.0.19:24"], submission = [], submissions = [], imaps = [], pop3 = [], pop3s = [], sieve = [], imap = ["127.78.0.19:143"], http = ["127.78.0.19:8025"]}
directory = {sources = ["db"]}
imap = {connections_per_login = 10000}
auth = {remember = "%[3]s"}
log = {level = "warn"}
[source.db]
schema = "virtual_users"
%[2]s`

func plicLogins(name, dir, source, remember string) loginSide {
	return loginSide{name: name, address: "127.78.0.19:143",
		start: func(ctx context.Context) (func(), error) {
			if err := os.WriteFile(dir+"/plic.toml", fmt.Appendf(nil, loginsConfig, dir, source, remember), 0o644); err != nil {
				return nil, err
			}
			server := exec.Command(dir+"/plic", "serve", "--config", dir+"/plic.toml")
			server.Stderr = os.Stderr
			server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := server.Start(); err != nil {
				return nil, err
			}
			return func() { server.Process.Signal(syscall.SIGTERM); server.Wait() }, peers.WaitFor(ctx, "127.78.0.19:143")
		},
		questions: asked,
	}
}

// asked is how many questions plic has put to its source.
func asked() (float64, bool) {
	r, err := http.Get("http://127.78.0.19:8025/metrics")
	if err != nil {
		return 0, false
	}
	defer r.Body.Close()
	sum := 0.0
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "plic_directory_queries_total{") || strings.Contains(line, `outcome="hit"`) {
			continue
		}
		n, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		sum += n
	}
	return sum, true
}

func dovecotLogins(dir, connect string) loginSide {
	return loginSide{name: "Dovecot", address: "127.78.0.16:143",
		start: func(ctx context.Context) (func(), error) {
			if err := os.MkdirAll(dir+"/d", 0o755); err != nil {
				return nil, err
			}
			query := connect + "\npassword_query = SELECT email AS user, password FROM virtual_users WHERE email = '%u'\n"
			if err := os.WriteFile(dir+"/d/sql.conf", []byte(query), 0o644); err != nil {
				return nil, err
			}
			// The password of all that peers know is not the one that is used.
			d := &peers.Dovecot{Dir: dir + "/d", Address: "127.78.0.16", Password: "of nobody", Format: "sdbox",
				Settings: "passdb {\n  driver = sql\n  args = " + dir + "/d/sql.conf\n}\n"}
			err := d.Start(ctx)
			return func() { stopDovecot(d) }, err
		},
		questions: func() (float64, bool) { return 0, false },
	}
}

// attempts is many logins or look-ups at an address, and how long each took.
type attempts func(ctx context.Context, address string, n int) ([]time.Duration, error)

// turns are the figures of a side, of each turn.
type turns struct{ rate, median, slow, questions []float64 }

// compareSides measures the sides in turns and prints the median of each.
func compareSides(ctx context.Context, name string, sides []loginSide, rounds, n int, act attempts) error {
	all := make([]turns, len(sides))
	for range rounds {
		for i, s := range sides {
			if err := all[i].add(ctx, s, n, act); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	for i, s := range sides {
		fmt.Printf("| %s | %s\n", name, all[i].row(s))
	}
	return nil
}

// add is one turn.
func (t *turns) add(ctx context.Context, s loginSide, n int, act attempts) error {
	stop, err := s.start(ctx)
	if stop != nil {
		defer stop()
	}
	if err != nil {
		return err
	}
	if _, err := act(ctx, s.address, people); err != nil { // everybody has a mailbox from now on
		return err
	}
	before, asks := s.questions()
	started := time.Now()
	took, err := act(ctx, s.address, n)
	if err != nil {
		return err
	}
	elapsed := time.Since(started)
	if after, ok := s.questions(); ok && asks {
		t.questions = append(t.questions, (after-before)/float64(n))
	}
	slices.Sort(took)
	t.rate = append(t.rate, rate(n, elapsed))
	t.median, t.slow = append(t.median, millis(took[len(took)/2])), append(t.slow, millis(took[len(took)*99/100]))
	return nil
}

// row is the rest of a row of the table.
func (t *turns) row(s loginSide) string {
	questions := "-" // it does not tell
	if len(t.questions) > 0 {
		questions = fmt.Sprintf("%.2f", median(t.questions))
	}
	return fmt.Sprintf("%s | %.0f | %.1f ms | %.1f ms | %s |", s.name, median(t.rate), median(t.median), median(t.slow), questions)
}

// manyLogins has clients log in and out, each person in turn, and gives how
// long each login took.
func manyLogins(ctx context.Context, address string, n int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	g, ctx := errgroup.WithContext(ctx)
	for c := range clients {
		g.Go(func() error {
			for i := c; i < n; i += clients {
				d, err := oneLogin(ctx, address, fmt.Sprintf("p%d@%s", i%people, domain))
				if err != nil {
					return err
				}
				took[i] = d
			}
			return nil
		})
	}
	return took, g.Wait()
}

func oneLogin(ctx context.Context, address, name string) (time.Duration, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	c := &imapConn{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}
	defer c.close()
	if _, err := c.r.ReadString('\n'); err != nil {
		return 0, err
	}
	started := time.Now()
	if err := c.do("LOGIN %s %s", name, password); err != nil {
		return 0, err
	}
	took := time.Since(started)
	return took, c.do("LOGOUT")
}
