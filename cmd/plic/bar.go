package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	barWidth = 30
	barEvery = 200 * time.Millisecond
)

// bar shows at a terminal how far something is, how fast it goes and how long
// it will take; elsewhere it shows nothing.
type bar struct {
	w       io.Writer
	live    bool
	now     func() time.Time
	what    string
	unit    func(int64) string
	began   time.Time
	shown   time.Time
	width   int   // of what stands in the line
	skipped int64 // done before it began
}

func (a *app) newBar(what string, unit func(int64) string) *bar {
	return &bar{w: a.err, live: a.live, now: a.now, what: what, unit: unit}
}

// show puts the state in the place of the last one.
func (b *bar) show(done, total int64) {
	if !b.live {
		return
	}
	now := b.now()
	if b.began.IsZero() {
		b.began, b.skipped = now, done
	}
	if now.Sub(b.shown) < barEvery && done < total {
		return
	}
	b.shown = now
	b.put(b.text(done, total, now.Sub(b.began)))
}

func (b *bar) text(done, total int64, spent time.Duration) string {
	line := fmt.Sprintf("%s %s", b.what, b.unit(done))
	if total > 0 {
		full := int(min(barWidth*done/total, barWidth))
		line = fmt.Sprintf("[%s%s] %3d %%  %s of %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full),
			min(100*done/total, 100), line, b.unit(total))
	}
	rate := float64(done-b.skipped) / spent.Seconds()
	if spent < time.Second || rate <= 0 {
		return line
	}
	line += fmt.Sprintf("  %s/s", b.unit(int64(rate)))
	if total > done {
		line += fmt.Sprintf("  %s left", span(time.Duration(float64(total-done)/rate*float64(time.Second))))
	}
	return line
}

func (b *bar) put(line string) {
	pad := max(b.width-len(line), 0)
	fmt.Fprintf(b.w, "\r%s%s", line, strings.Repeat(" ", pad))
	b.width = len(line)
}

// line prints a line that stays, above the bar.
func (b *bar) line(format string, args ...any) {
	b.clear()
	fmt.Fprintln(b.w, clean(fmt.Sprintf(format, args...)))
}

func (b *bar) clear() {
	if b.width > 0 {
		b.put("")
		fmt.Fprint(b.w, "\r")
		b.width = 0
	}
}

// end takes the bar away.
func (b *bar) end() { b.clear() }
