package control

import (
	"context"
	"iter"
)

// Storage is the data directory as a whole. Paths are of the server's host.
type Storage interface {
	// Backup copies the data directory, and gives how far it is, now and then; in
	// the end with the backup's path.
	Backup(ctx context.Context, o BackupOrder) iter.Seq2[BackupProgress, error]
	// Check reads all there is and gives what is wrong.
	Check(ctx context.Context) iter.Seq2[Fault, error]
	// Repair sets right what Check finds; no server may be running.
	Repair(ctx context.Context) iter.Seq2[Fault, error]
}

// BackupOrder says where a backup goes and how many stay there; 0 is all.
type BackupOrder struct {
	To   string `json:"to"`
	Keep int    `json:"keep,omitempty"`
}

// BackupProgress is how far a backup is.
type BackupProgress struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Total  int64  `json:"total"`
	Copied int64  `json:"copied"`           // octets that no earlier backup has
	Path   string `json:"backup,omitempty"` // where it is, once it is complete
}

// Fault is something wrong with what is stored, and what was done about it.
type Fault struct {
	Record string `json:"record"`
	Fault  string `json:"fault"`
	Kept   string `json:"kept,omitempty"` // the file that keeps what was set aside
}

type storageClient struct{ *Client }

func (c storageClient) Backup(ctx context.Context, o BackupOrder) iter.Seq2[BackupProgress, error] {
	return ask[BackupProgress](ctx, c.Client, "storage/backup", o)
}
func (c storageClient) Check(ctx context.Context) iter.Seq2[Fault, error] {
	return ask[Fault](ctx, c.Client, "storage/check", nothing{})
}
func (c storageClient) Repair(ctx context.Context) iter.Seq2[Fault, error] {
	return ask[Fault](ctx, c.Client, "storage/repair", nothing{})
}
