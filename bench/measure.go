package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// measure is one thing that both sides do.
type measure struct {
	name    string
	unit    string
	writes  bool    // it waits for the disk
	once    bool    // one round is enough, or all that there can be
	reach   float64 // what the ratio should be at most; 0 for none
	least   float64 // what the ratio should be at least
	most    float64 // what our own figure should be at most
	prepare func(context.Context, *site) error
	do      func(context.Context, *site) (float64, error)
}

// unable is the figure of a side that cannot do it.
const unable = -1

// compare has both sides do it in turns, and gives the median of each.
func (m measure) compare(ctx context.Context, rounds int, ours, theirs *site) (a, b float64, err error) {
	sides := []*site{ours, theirs}
	var figures [2][]float64
	if m.prepare != nil {
		for _, s := range sides {
			if err := m.prepare(ctx, s); err != nil {
				return 0, 0, fmt.Errorf("prepare %s: %w", s.name, err)
			}
		}
	}
	if m.once {
		rounds = 1
	}
	for range rounds {
		for i, s := range sides {
			if m.writes {
				syscall.Sync() // what the other side has left to the disk is not waited for
			}
			v, err := m.do(ctx, s)
			if err != nil {
				return 0, 0, fmt.Errorf("%s: %w", s.name, err)
			}
			figures[i] = append(figures[i], v)
		}
	}
	return median(figures[0]), median(figures[1]), nil
}

// row is a row of the table.
func (m measure) row(ours, theirs float64) string {
	ratio := "-"
	if ours != unable && theirs != unable && theirs != 0 {
		ratio = number(ours / theirs)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", m.name, m.unit, figureOf(ours), figureOf(theirs), ratio, m.verdict(ours, theirs))
}

func figureOf(v float64) string {
	if v == unable {
		return "-"
	}
	return number(v)
}

// verdict says what was wanted, and whether it is missed. Who does what the other
// cannot has nothing to reach.
func (m measure) verdict(ours, theirs float64) string {
	var want string
	met := true
	switch {
	case m.most != 0:
		want, met = "≤ "+trim(m.most)+" "+m.unit, ours <= m.most
	case m.reach != 0:
		want, met = "≤ "+trim(m.reach), theirs == unable || ours <= m.reach*theirs
	case m.least != 0:
		want, met = "≥ "+trim(m.least), theirs == unable || ours >= m.least*theirs
	}
	if want != "" && (!met || ours == unable) {
		want += ", missed"
	}
	return want
}

// median is the middle one, or between the two in the middle.
func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v < 0.1 && v > 0:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func trim(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// rate is events a second.
func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
