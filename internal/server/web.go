package server

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"plic/internal/control"
	"plic/internal/journal"
)

// Version is that of the program, as its build says.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// web answers /health and /metrics.
func (s *Server) web() http.Handler {
	return control.Web(control.WebOptions{
		Version: Version(), Started: s.started, Now: time.Now,
		Health:  s.health,
		Counts:  func() []journal.Count { return s.site.journal.Counts() },
		Metrics: s.metrics,
	})
}

// health asks the parts that may fail.
func (s *Server) health(context.Context) []control.Check {
	room := control.Check{Name: "store", OK: true}
	if err := s.site.store.Room(0); err != nil {
		room.OK, room.Detail = false, err.Error()
	}
	cert := control.Check{Name: "certificate", OK: true}
	if left := time.Until(s.keys.now.Load().leaf.NotAfter); left < 7*24*time.Hour {
		cert.OK, cert.Detail = left > 0, "runs out in "+left.Round(time.Hour).String()
	}
	if m := s.keys.acme; m != nil && m.Err() != nil && cert.Detail == "" {
		cert.Detail = "not renewed: " + m.Err().Error()
	}
	return []control.Check{room, cert}
}

// metrics are the numbers of this moment.
func (s *Server) metrics() []control.Metric {
	s.mu.Lock()
	newest := s.services
	s.mu.Unlock()
	q := s.site.queue.Stats()
	gauge := func(name, help string, v float64, labels ...[2]string) control.Metric {
		return control.Metric{Name: name, Help: help, Value: v, Labels: labels}
	}
	items := func(state string, n int) control.Metric {
		return gauge("plic_queue_items", "Items in the queue by state.", float64(n), [2]string{"state", state})
	}
	return append(append(s.site.sources.lookups.metrics(), s.tries.metrics()...), []control.Metric{
		items("ready", q.Ready), items("active", q.Active), items("held", q.Held),
		items("waiting", q.Items-q.Ready-q.Active-q.Held),
		gauge("plic_queue_backlog", "Items that wait for room at destinations that answer; many slow those down who bring more.", float64(q.Backlog)),
		gauge("plic_smtp_stress", "1 while so many connections are open that strangers must hurry.", stress(newest.smtp.Stressed())),
		gauge("plic_queue_destinations", "Destinations that mail waits for.", float64(q.Destinations)),
		gauge("plic_smtp_connections", "Open connections to SMTP, submission and LMTP since the last reload.", float64(newest.smtp.Connections())),
		{Name: "plic_paused_seconds_total", Help: "How long searches, indexing, learning and other long work have paused for quick commands.", Counter: true, Value: s.site.pace.Paused().Seconds()},
		{Name: "plic_journal_lost_octets_total", Help: "Octets of the journal that could not be written.", Counter: true, Value: float64(s.site.journal.Lost())},
	}...)
}

func stress(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
