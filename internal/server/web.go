package server

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
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
	d := s.keys.describe()
	if left := time.Until(d.Until); left < min(7*24*time.Hour, d.Until.Sub(d.From)/4) { // those of six days are renewed with three left
		cert.OK, cert.Detail = left > 0, "runs out in "+left.Round(time.Minute).String()
	}
	if d.Trouble != "" {
		cert.Detail = strings.TrimPrefix(cert.Detail+"; "+d.Trouble, "; ")
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
	return append(append(append(s.site.sources.lookups.metrics(), s.tries.metrics()...), s.keys.metrics()...), []control.Metric{
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

// metrics are the times of the certificate.
func (k *certificates) metrics() []control.Metric {
	d := k.describe()
	list := []control.Metric{{Name: "plic_certificate_expiry_timestamp_seconds", Help: "When the certificate that is shown runs out, in seconds since 1970.", Value: float64(d.Until.Unix())}}
	if !d.Renewal.IsZero() {
		list = append(list, control.Metric{Name: "plic_certificate_renewal_timestamp_seconds", Help: "When it will be renewed, if that is ours to do.", Value: float64(d.Renewal.Unix())})
	}
	return list
}

func stress(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
