package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"time"

	"plic/internal/embargo"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
)

const (
	maxRequest  = 1 << 20
	chunkSize   = 32 << 10
	flushEvery  = 100 * time.Millisecond
	stopGrace   = 2 * time.Second
	readTimeout = 10 * time.Second
	idleTimeout = time.Minute
)

// Serve answers operations on the listener until ctx ends, and closes it.
func Serve(ctx context.Context, l net.Listener, o Operations, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := http.Server{
		Handler: Handler(o),
		// Not of ctx: a running operation gets its moment of grace.
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ReadHeaderTimeout: readTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelError),
	}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	err := s.Serve(l)
	if release() {
		return fmt.Errorf("control socket: %w", err)
	}
	<-stopped
	return nil
}

// Handler answers the operations as HTTP requests.
func Handler(o Operations) http.Handler {
	m := http.NewServeMux()
	d, q := o.Directory, o.Queue
	list(m, "domain/list", func(ctx context.Context, _ nothing) iter.Seq2[Domain, error] { return d.Domains(ctx) })
	act(m, "domain/add", func(ctx context.Context, x name) error { return d.AddDomain(ctx, x.Name) })
	act(m, "domain/remove", func(ctx context.Context, x name) error { return d.RemoveDomain(ctx, x.Name) })
	list(m, "account/list", func(ctx context.Context, _ nothing) iter.Seq2[Account, error] { return d.Accounts(ctx) })
	act(m, "account/add", func(ctx context.Context, x login) error { return d.AddAccount(ctx, x.Name, x.Password) })
	act(m, "account/passwd", func(ctx context.Context, x login) error { return d.SetPassword(ctx, x.Name, x.Password) })
	act(m, "account/remove", func(ctx context.Context, x account) error { return d.RemoveAccount(ctx, x.Name, x.Purge) })
	list(m, "alias/list", func(ctx context.Context, _ nothing) iter.Seq2[Alias, error] { return d.Aliases(ctx) })
	act(m, "alias/add", d.AddAlias)
	act(m, "alias/remove", d.RemoveAlias)
	list(m, "login/show", func(ctx context.Context, x name) iter.Seq2[Login, error] { return one(o.Logins.Login(ctx, x.Name)) })
	act(m, "login/set", func(ctx context.Context, x Login) error { return o.Logins.SetLogin(ctx, x) })
	act(m, "login/hash", func(ctx context.Context, x forAccount) error { return o.Logins.SetHash(ctx, x.Account, x.Text) })
	list(m, "app-password/add", func(ctx context.Context, x newApp) iter.Seq2[App, error] {
		return one(o.Logins.AddApp(ctx, x.Account, x.App))
	})
	act(m, "app-password/revoke", func(ctx context.Context, x forAccount) error { return o.Logins.RemoveApp(ctx, x.Account, x.Text) })
	list(m, "totp/enrol", func(ctx context.Context, x name) iter.Seq2[Enrolment, error] { return one(o.Logins.Enrol(ctx, x.Name)) })
	act(m, "totp/confirm", func(ctx context.Context, x forAccount) error { return o.Logins.Confirm(ctx, x.Account, x.Text) })
	list(m, "totp/try", func(ctx context.Context, x forAccount) iter.Seq2[bool, error] {
		return one(o.Logins.TryCode(ctx, x.Account, x.Text))
	})
	act(m, "totp/remove", func(ctx context.Context, x name) error { return o.Logins.RemoveFactor(ctx, x.Name) })
	handleMailboxes(m, o.Mailboxes)
	list(m, "queue/list", func(ctx context.Context, f queue.Filter) iter.Seq2[queue.Listed, error] { return q.List(ctx, f) })
	list(m, "queue/shapes", func(ctx context.Context, x shaping) iter.Seq2[queue.Shape, error] {
		return q.Shapes(ctx, x.Filter, x.By)
	})
	list(m, "queue/message", func(ctx context.Context, id mail.ID) iter.Seq2[fragment, error] { return fragments(q.Message(ctx, id)) })
	list(m, "queue/change", func(ctx context.Context, c Change) iter.Seq2[queue.Result, error] { return one(q.Change(ctx, c)) })
	list(m, "hold/list", func(ctx context.Context, _ nothing) iter.Seq2[embargo.Rule, error] { return o.Holds.Rules(ctx) })
	list(m, "hold/add", func(ctx context.Context, x holding) iter.Seq2[embargo.Rule, error] {
		return one(o.Holds.AddRule(ctx, x.Filter, x.Why))
	})
	act(m, "hold/remove", func(ctx context.Context, x ending) error { return o.Holds.RemoveRule(ctx, x.ID, x.Release) })
	list(m, "suppression/list", func(ctx context.Context, _ nothing) iter.Seq2[embargo.Suppressed, error] {
		return o.Suppress.Suppressed(ctx)
	})
	act(m, "suppression/add", func(ctx context.Context, x suppressing) error {
		return o.Suppress.Suppress(ctx, x.Address, x.For, x.Why)
	})
	act(m, "suppression/remove", func(ctx context.Context, x name) error { return o.Suppress.Unsuppress(ctx, x.Name) })
	list(m, "quota/show", func(ctx context.Context, x name) iter.Seq2[Quota, error] { return one(o.Quotas.Quota(ctx, x.Name)) })
	act(m, "quota/set", func(ctx context.Context, x limits) error { return o.Quotas.SetQuota(ctx, x.Name, x.Own) })
	list(m, "journal/find", func(ctx context.Context, x journal.Query) iter.Seq2[journal.Event, error] {
		return o.Journal.Find(ctx, x)
	})
	list(m, "tls/policy", func(ctx context.Context, x name) iter.Seq2[TLSPolicy, error] { return o.TLS.Policy(ctx, x.Name) })
	list(m, "tls/records", func(ctx context.Context, _ nothing) iter.Seq2[Record, error] { return o.TLS.Records(ctx) })
	list(m, "tls/reports", func(ctx context.Context, days int) iter.Seq2[TLSReport, error] { return o.TLS.Reports(ctx, days) })
	list(m, "tls/certificate", func(ctx context.Context, _ nothing) iter.Seq2[Certificate, error] { return one(o.TLS.Certificate(ctx)) })
	list(m, "dmarc/reports", func(ctx context.Context, days int) iter.Seq2[DMARCReport, error] { return o.DMARC.Reports(ctx, days) })
	act(m, "tls/rotate", func(ctx context.Context, force bool) error { return o.TLS.Rotate(ctx, force) })
	act(m, "tls/forget", func(ctx context.Context, x name) error { return o.TLS.Forget(ctx, x.Name) })
	list(m, "dkim/keys", func(ctx context.Context, x name) iter.Seq2[Record, error] { return o.DKIM.Keys(ctx, x.Name) })
	list(m, "dkim/prepare", func(ctx context.Context, x name) iter.Seq2[Record, error] { return o.DKIM.Prepare(ctx, x.Name) })
	act(m, "dkim/rotate", func(ctx context.Context, x rotation) error { return o.DKIM.Rotate(ctx, x.Domain, x.Force) })
	act(m, "dkim/import", func(ctx context.Context, x foreignKey) error {
		return o.DKIM.Import(ctx, x.Domain, x.Selector, x.Key)
	})
	spam := o.Spam
	list(m, "spam/train", func(ctx context.Context, x SpamLesson) iter.Seq2[bool, error] { return one(spam.Train(ctx, x)) })
	list(m, "spam/learnt", func(ctx context.Context, x name) iter.Seq2[SpamLearnt, error] { return spam.Learnt(ctx, x.Name) })
	act(m, "spam/forget", func(ctx context.Context, x name) error { return spam.Forget(ctx, x.Name) })
	list(m, "spam/judge", func(ctx context.Context, x SpamQuestion) iter.Seq2[SpamVerdict, error] {
		return one(spam.Judge(ctx, x))
	})
	list(m, "spam/replay", func(ctx context.Context, q SpamReplay) iter.Seq2[SpamReplayed, error] { return spam.Replay(ctx, q) })
	list(m, "spam/limits", func(ctx context.Context, x name) iter.Seq2[SpamLimits, error] { return one(spam.Limits(ctx, x.Name)) })
	act(m, "spam/set", func(ctx context.Context, x SpamLimits) error { return spam.SetLimits(ctx, x) })
	list(m, "spam/symbols", func(ctx context.Context, _ nothing) iter.Seq2[SpamSymbol, error] { return spam.Symbols(ctx) })
	list(m, "route/explain", func(ctx context.Context, x RouteQuery) iter.Seq2[Way, error] { return one(o.Route.Explain(ctx, x)) })
	list(m, "directory/lookup", func(ctx context.Context, x lookingUp) iter.Seq2[Finding, error] {
		return one(o.Sources.Lookup(ctx, x.What, x.Fresh))
	})
	list(m, "directory/try", func(ctx context.Context, x login) iter.Seq2[Finding, error] {
		return one(o.Sources.Try(ctx, x.Name, x.Password))
	})
	list(m, "session/list", func(ctx context.Context, f SessionFilter) iter.Seq2[Session, error] { return o.Sessions.List(ctx, f) })
	list(m, "session/end", func(ctx context.Context, f SessionFilter) iter.Seq2[int, error] { return one(o.Sessions.End(ctx, f)) })
	list(m, "index/status", func(ctx context.Context, x name) iter.Seq2[IndexStatus, error] { return o.Index.Status(ctx, x.Name) })
	list(m, "index/rebuild", func(ctx context.Context, x name) iter.Seq2[IndexStatus, error] { return o.Index.Rebuild(ctx, x.Name) })
	list(m, "discovery/records", func(ctx context.Context, x name) iter.Seq2[Record, error] { return o.Discovery.Records(ctx, x.Name) })
	moves(m, o.Moving)
	list(m, "storage/backup", func(ctx context.Context, x BackupOrder) iter.Seq2[BackupProgress, error] {
		return o.Storage.Backup(ctx, x)
	})
	list(m, "storage/check", func(ctx context.Context, _ nothing) iter.Seq2[Fault, error] { return o.Storage.Check(ctx) })
	list(m, "storage/repair", func(ctx context.Context, _ nothing) iter.Seq2[Fault, error] { return o.Storage.Repair(ctx) })
	return m
}

// act serves an operation that gives nothing back.
func act[In any](m *http.ServeMux, operation string, do func(context.Context, In) error) {
	list(m, operation, func(ctx context.Context, in In) iter.Seq2[nothing, error] {
		return func(yield func(nothing, error) bool) {
			if err := do(ctx, in); err != nil {
				yield(nothing{}, err)
			}
		}
	})
}

// list serves an operation that gives values.
func list[In, Out any](m *http.ServeMux, operation string, do func(context.Context, In) iter.Seq2[Out, error]) {
	m.HandleFunc("POST /v1/"+operation, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
			http.Error(w, "bad request: "+err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := json.NewEncoder(w)
		flushed := time.Now()
		for v, err := range do(r.Context(), in) {
			if err != nil {
				out.Encode(line[Out]{Error: asError(err)})
				return
			}
			if out.Encode(line[Out]{Value: &v}) != nil {
				return // the client went away
			}
			if now := time.Now(); now.Sub(flushed) > flushEvery {
				http.NewResponseController(w).Flush()
				flushed = now
			}
		}
		out.Encode(line[Out]{Done: true})
	})
}

// one makes a list of a single result.
func one[T any](v T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yield(v, err) }
}

// fragments reads r to its end and closes it.
func fragments(r io.ReadCloser, err error) iter.Seq2[fragment, error] {
	return func(yield func(fragment, error) bool) {
		if err != nil {
			yield(fragment{}, err)
			return
		}
		defer r.Close()
		buf := make([]byte, chunkSize)
		for {
			n, err := r.Read(buf)
			if n > 0 && !yield(fragment{buf[:n]}, nil) {
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(fragment{}, err)
				return
			}
		}
	}
}
