package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// maxPath is the longest path of a socket that every system takes; sun_path
// has 104 octets on some.
const maxPath = 103

// Listen makes the socket in the data directory, taking the place of one that a
// dead server left. The caller holds the directory's lock. Closing the listener
// removes the socket.
func Listen(dir string) (net.Listener, error) { return ListenAs(dir, SocketName, 0o600) }

// ListenAs is the same for a socket of another name and for others to open.
func ListenAs(dir, name string, mode os.FileMode) (net.Listener, error) {
	path, done, err := reach(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	// Under its own name only once nobody else may open it.
	fresh := path(name + ".new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, mode), os.Rename(fresh, path(name))); err != nil {
		l.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return &listener{UnixListener: l, path: filepath.Join(dir, name)}, nil
}

// listener removes its socket, once, when it is closed.
type listener struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close ends listening.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() { err = errors.Join(err, os.Remove(l.path)) })
	return err
}

// reach gives the path of a name in a directory, short enough for a socket. A
// longer one goes through an open descriptor of the directory, which done closes.
func reach(dir, name string) (path func(name string) string, done func(), err error) {
	path = func(name string) string { return filepath.Join(dir, name) }
	if len(path(name+".new")) <= maxPath {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("data directory: %w", err)
	}
	short := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Stat(short); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("data directory %s: the path is too long for a socket here; %d octets are allowed", dir, maxPath-len(name)-5)
	}
	return func(name string) string { return filepath.Join(short, name) }, func() { f.Close() }, nil
}

// dial opens the socket; ErrNotRunning.
func dial(ctx context.Context, dir string) (net.Conn, error) { return DialAs(ctx, dir, SocketName) }

// DialAs opens the socket of another name; ErrNotRunning.
func DialAs(ctx context.Context, dir, name string) (net.Conn, error) {
	path, done, err := reach(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the server's socket %s belongs to somebody else: run the command as the server's user", filepath.Join(dir, name))
	}
	return conn, err
}
