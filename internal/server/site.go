package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/bounce"
	"plic/internal/check"
	"plic/internal/check/lists"
	"plic/internal/check/milter"
	"plic/internal/check/score"
	"plic/internal/config"
	"plic/internal/deliver/local"
	"plic/internal/deliver/remote"
	"plic/internal/directory"
	"plic/internal/directory/native"
	"plic/internal/dns"
	"plic/internal/embargo"
	"plic/internal/feedback"
	"plic/internal/journal"
	"plic/internal/learn"
	"plic/internal/mail"
	"plic/internal/pace"
	"plic/internal/pop3d"
	"plic/internal/post"
	"plic/internal/queue"
	"plic/internal/sasl"
	"plic/internal/scripts"
	"plic/internal/serve"
	"plic/internal/signer"
	"plic/internal/store"
	"plic/internal/store/engine/embedded"
	"plic/internal/store/files"
	"plic/internal/store/headers"
	"plic/internal/store/recall"
	"plic/internal/store/search"
	"plic/internal/table"
	"plic/internal/tlspolicy"
	"plic/internal/vfs"
)

// site is what a data directory holds and what works on it: everything but the
// listeners. A command without a server opens one too.
type site struct {
	config    *config.Config
	log       *slog.Logger
	journal   *journal.Journal
	engine    *embedded.Engine
	store     *store.Store
	index     *search.Index
	pace      *pace.Pace    // of all work
	kept      *files.Engine // around it, for accounts whose mail is in files
	watcher   *vfs.Watcher  // of mail in files
	placesOf  table.List    // accounts and @domains to places of their mail
	headers   *headers.Keeper
	directory *native.Directory // our own
	people    *everyone         // all who are asked
	sources   *sources
	milters   *milter.Client
	resolver  *dns.Client
	policies  *tlspolicy.Policies
	routing   *routing
	embargo   *embargo.Book
	scripts   *scripts.Keeper
	filter    *local.Agent
	signer    *signer.Signer
	spam      *score.Engine
	lists     *lists.Part
	scanners  []score.Part
	feedback  *feedback.Office // nil if no reports of DMARC are sent
	viruses   bool             // are looked for
	learner   *learn.Learner
	waited    *recall.Memory // of who was put off
	limits    *spamLimits
	now       func() time.Time
	access    check.Options // of the door, as far as they are kept over reloads
	office    *post.Office
	transport *remote.Transport
	queue     *queue.Queue
	failed    chan error // the engine has stopped
	sessions  serve.Roll
	maildrops pop3d.Locks

	keys     *certificates         // of the server that runs, nil if none does
	settings func() *config.Config // that hold now, nil likewise
}

// openSite opens a data directory, making it if it is not there. The order is
// that of a message's way, backwards: each part needs those before it.
func openSite(ctx context.Context, c *config.Config, log *slog.Logger) (s *site, err error) {
	s = &site{config: c, log: log, failed: make(chan error, 1), pace: pace.New(runtime.GOMAXPROCS(0))}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			s = nil
		}
	}()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return s, fmt.Errorf("make the data directory: %w", err)
	}
	fs, now := vfs.Disk(), time.Now
	s.engine, err = embedded.Open(ctx, embedded.Options{
		FS: fs, Dir: c.DataDir, Now: now, Log: log,
		Cache: c.Store.Cache, Reserve: orNone(c.Store.Reserve), Grace: orNone(c.Store.Grace),
		Uncompressed: !c.Store.Compress,
		OnFail:       func(err error) { s.failed <- err },
	})
	if err != nil {
		return s, err
	}
	if s.headers, err = headers.New(headers.Options{Log: log}); err != nil {
		return s, err
	}
	s.index = search.New(search.Options{Log: log})
	if err := s.openPlaces(); err != nil {
		return s, err
	}
	s.store = store.New(store.Options{Engine: s.files(now), Now: now, Log: log, IndexBytes: c.Store.Index, Changed: s.index.Changed, Touched: s.touched, Pace: s.pace.Lane().Step,
		Quota: quotaDefaults(c)})
	if err := s.openLearner(ctx, now); err != nil {
		return s, err
	}
	if s.journal, err = journal.Open(journal.Options{FS: fs, Dir: s.path("journal"), Now: now, Keep: c.Journal.Keep, Log: log}); err != nil {
		return s, err
	}
	if s.directory, err = native.Open(native.Options{
		FS: fs, Dir: s.path("directory"), Now: now, Log: log,
		Postmaster: c.Directory.Postmaster, Separator: c.Directory.PlusSeparator, Cost: cost(c),
	}); err != nil {
		return s, err
	}
	if err := s.openSources(); err != nil {
		return s, err
	}
	if s.embargo, err = embargo.Open(ctx, embargo.Options{
		Notes: s.store.Notes(), Now: now, Log: log, After: c.Queue.SuppressAfter, For: c.Queue.SuppressFor,
	}); err != nil {
		return s, err
	}
	if err := s.openRoutes(now); err != nil {
		return s, err
	}
	return s, nil
}

// openRoutes makes what moves messages: office, queue and transport.
func (s *site) openRoutes(now func() time.Time) error {
	c := s.config
	system := dns.System{Servers: c.DNS.Servers}
	if len(system.Servers) == 0 {
		var err error
		if system, err = dns.ReadSystem("/etc/resolv.conf"); err != nil {
			return err
		}
	}
	s.resolver = dns.New(dns.Options{
		Servers: system.Servers, Timeout: c.DNS.Timeout, TrustAD: c.DNS.Trusted || system.TrustAD, Now: now,
	})
	var err error
	if s.policies, err = s.newPolicies(c, system.TrustAD || c.DNS.Trusted, now); err != nil {
		return err
	}
	relay, err := smartHost(c)
	if err != nil {
		return err
	}
	if s.routing, err = s.newRouting(relay); err != nil {
		return err
	}
	reporter := bounce.New(bounce.Options{
		Host: c.Hostname, Now: now, Log: s.log,
		Open: func(ctx context.Context, item *mail.Item) (mail.Body, error) { return s.office.OpenBody(ctx, item) },
	})
	if err := s.openRules(); err != nil {
		return err
	}
	if err := s.openScanners(); err != nil {
		return err
	}
	if s.filter, err = s.newFilter(now); err != nil {
		return err
	}
	s.signer = signer.New(signer.Options{Notes: s.store.Notes(), Ours: s.local, Now: now, Log: s.log})
	if err := s.openLists(now); err != nil {
		return err
	}
	if s.spam, err = s.newJudge(now); err != nil {
		return err
	}
	if s.milters, err = s.newMilters(now); err != nil {
		return err
	}
	s.office = post.New(post.Options{
		Store: s.store, Directory: s.people, Reporter: reporter, Journal: s.journal, Now: now,
		Router: s.routing.router, HeaderRules: s.routing.rules, Embargo: s.embargo, Host: c.Hostname.String(), Examiner: s.examiner(now),
		Milters: s.milters, Judge: s.judge(), Wrote: s.wrote(), Quarantine: c.Spam.QuarantineTo, Signer: s.signs(), Sealer: s.seals(), Onward: onwards(c), Ledger: s.ledger(now), MaxDrop: c.SMTP.MessageSize, MaxHops: c.SMTP.Hops,
		Lifetime: c.Queue.ExpireAfter, AnySender: !c.Submission.CheckSender, Filter: s.filter,
	})
	s.transport = remote.New(remote.Options{
		Resolver: s.resolver, Hostname: c.Hostname.String(), LocalAddrs: listening(c.Listen.SMTP),
		Port: uint16(c.Remote.Port), Dial: dialer(c.Remote.Family), DialFrom: dialFrom(c.Remote.Family),
		Policy: s.require, Login: s.routing.login(c.Remote), MaxRecipients: c.Remote.Recipients,
		Timeouts: remote.Timeouts{
			Connect: c.Remote.ConnectTimeout, Greeting: c.Remote.CommandTimeout, Command: c.Remote.CommandTimeout,
			Mail: c.Remote.CommandTimeout, Rcpt: c.Remote.CommandTimeout, DataEnd: c.Remote.DataTimeout,
		},
		Journal: s.journal, Log: s.log,
	})
	s.queue = queue.New(queue.Options{
		Custody: s.office, Reporter: reporter, Journal: s.journal, Log: s.log, Now: now,
		Transports: map[mail.HopKind]queue.Transport{mail.HopRemote: s.transport, mail.HopLMTP: s.transport, mail.HopPost: s.office, mail.HopPipe: s.pipes()},
		Active:     c.Queue.Active, StartWindow: c.Queue.ConcurrencyStart, MaxWindow: c.Queue.ConcurrencyMax,
		MinBackoff: c.Queue.BackoffMin, MaxBackoff: c.Queue.BackoffMax,
		Gone:      func(_ *mail.Item, to mail.ItemRcpt) { s.embargo.Gone(context.Background(), to) },
		WarnAfter: c.Queue.WarnAfter, Lifetime: c.Queue.ExpireAfter, Grace: orNone(c.StopGrace),
	})
	s.office.Schedule(s.queue)
	return nil
}

// close ends what openSite began, the last first.
func (s *site) close() error {
	var errs []error
	if s.transport != nil {
		errs = append(errs, s.transport.Close())
	}
	if s.sources != nil {
		errs = append(errs, s.sources.close())
	}
	if s.directory != nil {
		errs = append(errs, s.directory.Close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.learner != nil {
		errs = append(errs, s.learner.Flush(context.Background()))
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.watcher != nil {
		errs = append(errs, s.watcher.Close())
	}
	return errors.Join(errs...)
}

func (s *site) path(name string) string { return filepath.Join(s.config.DataDir, name) }

// orNone tells an engine that zero is meant.
func orNone[T int64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func cost(c *config.Config) directory.Cost {
	return directory.Cost{
		Memory: uint32(c.Auth.HashMemory >> 10), Time: uint32(c.Auth.HashRounds), Threads: uint8(c.Auth.HashThreads),
		SHA1: slices.Contains(c.Auth.Mechanisms, sasl.SCRAM1) || slices.Contains(c.Auth.Mechanisms, sasl.SCRAM1Plus),
		CRAM: slices.Contains(c.Auth.Mechanisms, sasl.CRAM),
	}
}

// smartHostLogin names the credentials of the smart host in its hop.
const smartHostLogin = "smart_host"

func smartHost(c *config.Config) (*mail.Hop, error) {
	r := c.Remote
	if r.SmartHost == "" {
		return nil, nil
	}
	hop := mail.Hop{Kind: mail.HopRemote, Host: r.SmartHost, Exact: true}
	if host, port, err := net.SplitHostPort(r.SmartHost); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("remote.smart_host: port %q: %w", port, err)
		}
		hop.Host, hop.Port = host, uint16(n)
	}
	if r.SmartHostUser != "" {
		hop.Login = smartHostLogin
	}
	return &hop, nil
}

// logins reads the smart host's password anew each time, so that it can be
// changed without a restart.
func logins(r config.Remote) func(string) (remote.Login, bool) {
	return func(name string) (remote.Login, bool) {
		if name != smartHostLogin {
			return remote.Login{}, false
		}
		text, err := os.ReadFile(r.SmartHostPasswordFile)
		if err != nil {
			return remote.Login{}, false
		}
		password, _, _ := strings.Cut(string(text), "\n")
		return remote.Login{User: r.SmartHostUser, Password: strings.TrimSuffix(password, "\r")}, true
	}
}

// dialer keeps to one family of addresses.
func dialer(f config.Family) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, inFamily(f, network), address)
	}
}

// listening are the addresses of ours that another host's MX may name.
func listening(addresses []string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, text := range addresses {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			list = append(list, netip.AddrPortFrom(ip, uint16(n)))
			continue
		}
		interfaces, _ := net.InterfaceAddrs()
		for _, a := range interfaces {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				list = append(list, netip.AddrPortFrom(p.Addr(), uint16(n)))
			}
		}
	}
	return list
}
