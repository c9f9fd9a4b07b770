package embedded

import (
	"bytes"
	"context"
	"fmt"
)

// Pebble merges tables when a level is too long, which is much of a small store:
// what was written anew or dropped stays on the disk beside what counts. So when
// nothing has been written for a while, tables are merged to the last level.
const (
	mergeQuiet = 5       // ticks without a commit
	mergeMost  = 1 << 30 // octets of tables beyond which it would be too much work, and gain little
	mergeLeast = 1 << 20 // octets in the log and above the last level that are worth it
	mergeShare = 16      // or this part of all
)

// lull counts how long nothing was committed.
type lull struct {
	commits int64
	ticks   int
}

// tick says once that nothing was committed for long enough.
func (l *lull) tick(commits int64) bool {
	if l.commits != commits {
		*l = lull{commits: commits}
		return false
	}
	l.ticks++
	return l.ticks == mergeQuiet
}

// merge merges what the log and tables hold to the last level, if much is above
// it. It ends early when something is committed.
func (e *Engine) merge(ctx context.Context) error {
	m := e.db.Metrics()
	all, last := e.log.Size(), int64(0)
	for _, level := range m.Levels {
		all += level.TablesSize
		if level.TablesSize > 0 {
			last = level.TablesSize
		}
	}
	if above := all - last; all > mergeMost || above < max(mergeLeast, all/mergeShare) || e.space.room(all) != nil {
		return nil
	}
	return e.guard(func() error { return e.mergeTables(ctx, e.commits.Load()) })
}

// mergeTables goes by the tables of the last level, so that it can end soon.
func (e *Engine) mergeTables(ctx context.Context, commits int64) error {
	if err := e.flush(ctx); err != nil {
		return fmt.Errorf("merge tables: %w", err)
	}
	e.release()
	levels, err := e.db.SSTables()
	if err != nil {
		return err
	}
	var steps []span
	var all span
	for _, level := range levels {
		if len(level) == 0 {
			continue
		}
		steps = steps[:0]
		for i := range level {
			s := span{from: level[i].Smallest.UserKey, to: append(bytes.Clone(level[i].Largest.UserKey), 0)}
			steps = append(steps, s)
			if all.from == nil || bytes.Compare(s.from, all.from) < 0 {
				all.from = s.from
			}
			if bytes.Compare(s.to, all.to) > 0 {
				all.to = s.to
			}
		}
	}
	for _, s := range append(steps, all) { // last what lies between
		if err := ctx.Err(); err != nil || e.commits.Load() != commits {
			return err
		}
		if err := e.db.Compact(ctx, s.from, s.to, false); err != nil {
			return fmt.Errorf("merge tables: %w", err)
		}
	}
	return nil
}
