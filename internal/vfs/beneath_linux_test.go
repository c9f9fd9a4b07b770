package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuse has the kernel answer openat2 with an error, for this thread and until it
// ends, as an older one or the filter of a container does. The last error counts.
func refuse(with unix.Errno) error {
	const errno, allow = 0x00050000, 0x7fff0000 // SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT2, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: errno | uint32(with)},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

// TestOpenWithoutOpenat2: where the kernel refuses openat2, files are opened by their
// parts, and the call is not tried again for each.
func TestOpenWithoutOpenat2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x", []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
		failed := make(chan error)
		go func() {
			runtime.LockOSThread() // which ends with this
			failed <- openRefused(dir, refused)
		}()
		switch err := <-failed; {
		case errors.Is(err, errNoFilter):
			t.Skip(err)
		case err != nil:
			t.Errorf("%v: %v", refused, err)
		}
	}
}

var errNoFilter = errors.New("the kernel filters no calls")

func openRefused(dir string, with unix.Errno) error {
	if err := refuse(with); err != nil {
		return fmt.Errorf("%w: %w", errNoFilter, err)
	}
	w, err := Within(dir, Owner{})
	if err != nil {
		return err
	}
	defer w.(io.Closer).Close()
	if err := refuse(unix.ENOENT); err != nil { // what is tried now finds nothing
		return err
	}
	f, err := w.Open("x")
	if err != nil {
		return fmt.Errorf("tried again: %w", err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" {
		return fmt.Errorf("%q, %w", text, err)
	}
	return nil
}
