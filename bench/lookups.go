package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"plic/test/peers"
)

// plicLookups is plic taking mail for the people of a database.
func plicLookups(name, dir, source string) loginSide {
	s := plicLogins(name, dir, source, "0s")
	s.address = "127.78.0.19:24"
	return s
}

// dovecotLookups is Dovecot likewise. An empty passwd-file takes the place of the
// users that all peers have.
func dovecotLookups(dir, connect string) loginSide {
	return loginSide{name: "Dovecot", address: "127.78.0.16:24",
		start: func(ctx context.Context) (func(), error) {
			if err := os.MkdirAll(dir+"/l", 0o755); err != nil {
				return nil, err
			}
			query := connect + "\nuser_query = SELECT 'mail' AS uid, 'mail' AS gid, '" + dir + "/l/mail' AS home FROM virtual_users WHERE email = '%u'\n"
			if err := os.WriteFile(dir+"/l/sql.conf", []byte(query), 0o644); err != nil {
				return nil, err
			}
			if err := os.WriteFile(dir+"/l/none", nil, 0o644); err != nil {
				return nil, err
			}
			d := &peers.Dovecot{Dir: dir + "/l", Address: "127.78.0.16", Users: dir + "/l/none", Format: "sdbox",
				Settings: "userdb {\n  driver = sql\n  args = " + dir + "/l/sql.conf\n}\nprotocol lmtp {\n  postmaster_address = postmaster@" + domain + "\n}\n"}
			err := d.Start(ctx)
			return func() { stopDovecot(d) }, err
		},
		questions: func() (float64, bool) { return 0, false },
	}
}

// perSession is how many recipients a session names.
const perSession = 50

// manyRecipients has clients name recipients to LMTP, each person in turn, and
// gives how long each answer took.
func manyRecipients(ctx context.Context, address string, n int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(clients)
	for first := 0; first < n; first += perSession {
		g.Go(func() error {
			conn, err := dialLMTP(ctx, address)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.command("MAIL FROM:<load@sender.test>", "250"); err != nil {
				return err
			}
			for i := first; i < min(first+perSession, n); i++ {
				started := time.Now()
				if err := conn.command(fmt.Sprintf("RCPT TO:<p%d@%s>", i%people, domain), "250"); err != nil {
					return err
				}
				took[i] = time.Since(started)
			}
			return conn.command("QUIT", "221")
		})
	}
	return took, g.Wait()
}
