package controltest

import (
	"context"
	"iter"

	"plic/internal/control"
)

// storage is control.Storage with the faults that the site was filled with.
type storage struct{ s *Site }

// Backup notes the call and says that all is copied.
func (x storage) Backup(_ context.Context, o control.BackupOrder) iter.Seq2[control.BackupProgress, error] {
	return func(yield func(control.BackupProgress, error) bool) {
		x.s.mu.Lock()
		x.s.Calls = append(x.s.Calls, "backup "+o.To)
		x.s.mu.Unlock()
		if yield(control.BackupProgress{Files: 1, Bytes: 1 << 20, Total: 2 << 20, Copied: 1 << 20}, nil) {
			yield(control.BackupProgress{Files: 2, Bytes: 2 << 20, Total: 2 << 20, Copied: 1 << 20, Path: o.To + "/20260501T000000Z"}, nil)
		}
	}
}

// Check gives the faults.
func (x storage) Check(context.Context) iter.Seq2[control.Fault, error] {
	return each(&x.s.mu, &x.s.Faults)
}

// Repair gives the faults and forgets them.
func (x storage) Repair(context.Context) iter.Seq2[control.Fault, error] {
	x.s.mu.Lock()
	faults := x.s.Faults
	x.s.Faults = nil
	x.s.mu.Unlock()
	return each(&x.s.mu, &faults)
}
