package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"plic/internal/journal"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// WebOptions are what the health and metrics pages tell. Functions may be nil.
type WebOptions struct {
	Version string
	Started time.Time
	Now     func() time.Time
	Health  func(ctx context.Context) []Check // of every part that may fail
	Counts  func() []journal.Count
	Metrics func() []Metric // queue, store, connections
}

// Check is how one part of the server feels.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what is wrong
}

// Metric is a number at one moment. Those of one name have the same Help, the
// same Counter and the same label names.
type Metric struct {
	Name    string // "plic_queue_items"
	Help    string
	Counter bool        // it only rises; else it is a gauge
	Labels  [][2]string // name, value
	Value   float64
}

// profiles is where Go's tools look for them.
const profiles = "/debug/pprof/"

// Web answers /health and /metrics, and tells by profiles what the process does.
// It asks nobody who they are.
func Web(o WebOptions) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{o},
	)
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	m.HandleFunc("GET /health", o.health)
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "plic %s\n/health\n/metrics\n", o.Version)
		for _, kind := range []string{"profile", "heap", "goroutine"} {
			fmt.Fprintf(w, "%s%s\n", profiles, kind)
		}
	})
	m.HandleFunc("GET "+profiles+"profile", pprof.Profile)
	m.Handle("GET "+profiles+"heap", pprof.Handler("heap"))
	m.Handle("GET "+profiles+"goroutine", pprof.Handler("goroutine"))
	return m
}

// health is 200 when every check is well, else 503.
func (o WebOptions) health(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Status  string  `json:"status"`
		Version string  `json:"version"`
		Uptime  string  `json:"uptime"`
		Checks  []Check `json:"checks"`
	}{"ok", o.Version, o.Now().Sub(o.Started).Round(time.Second).String(), []Check{}}
	if o.Health != nil {
		answer.Checks = append(answer.Checks, o.Health(r.Context())...)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if slices.ContainsFunc(answer.Checks, func(c Check) bool { return !c.OK }) {
		answer.Status = "failing"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.Encode(answer)
}

// collector turns what the functions tell into samples when it is asked.
type collector struct{ o WebOptions }

// Describe tells nothing beforehand: which services exist is known only later.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives the numbers of this moment.
func (c collector) Collect(out chan<- prometheus.Metric) {
	send := func(m Metric) {
		names, values := make([]string, len(m.Labels)), make([]string, len(m.Labels))
		for i, l := range m.Labels {
			names[i], values[i] = l[0], l[1]
		}
		kind := prometheus.GaugeValue
		if m.Counter {
			kind = prometheus.CounterValue
		}
		d := prometheus.NewDesc(m.Name, m.Help, names, nil)
		sample, err := prometheus.NewConstMetric(d, kind, m.Value, values...)
		if err != nil {
			sample = prometheus.NewInvalidMetric(d, err)
		}
		out <- sample
	}
	send(Metric{Name: "plic_info", Help: "The version that runs.", Labels: [][2]string{{"version", c.o.Version}}, Value: 1})
	if c.o.Counts != nil {
		panics := uint64(0)
		for _, n := range c.o.Counts() {
			if n.Kind == journal.Panic {
				panics += n.N
			}
			send(Metric{
				Name: "plic_events_total", Counter: true, Value: float64(n.N),
				Help:   "Events in the journal by service, kind and class of the reply.",
				Labels: [][2]string{{"service", n.Service}, {"kind", n.Kind}, {"class", n.Class}},
			})
		}
		send(Metric{Name: "plic_panics_total", Help: "Connections and deliveries that a fault of plic ended.", Counter: true, Value: float64(panics)})
	}
	if c.o.Metrics != nil {
		for _, m := range c.o.Metrics() {
			send(m)
		}
	}
}
