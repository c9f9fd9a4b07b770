package tlspolicy

import (
	"context"
	"time"
)

const (
	flushEvery  = 10 * time.Second
	reportEvery = 10 * time.Minute
	tidyEvery   = time.Hour
)

// Run writes down what was counted, sends reports when they are due, and gets
// policies anew before they run out, until ctx ends.
func (p *Policies) Run(ctx context.Context) error {
	flush, report, tidy := time.NewTicker(flushEvery), time.NewTicker(reportEvery), time.NewTicker(tidyEvery)
	defer flush.Stop()
	defer report.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			// What was counted to the end is written although ctx is done.
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return p.flush(within)
		case <-flush.C:
			p.try(ctx, "write down what was counted of TLS", p.flush)
		case <-p.full:
			p.try(ctx, "write down what was counted of TLS", p.flush)
		case <-report.C:
			p.try(ctx, "send TLS reports", p.sendReports)
		case <-tidy.C:
			p.try(ctx, "get MTA-STS policies anew", p.refreshAll)
			p.try(ctx, "forget what is remembered of TLS", p.forgetOld)
		}
	}
}

// try does something that is done again later if it fails.
func (p *Policies) try(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		p.o.Log.Error("cannot "+what, "error", err)
	}
}
