package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestLeftovers: once the bench has ended, its peers are ended and what it wrote
// is gone.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.MkdirAll(dir+"/peers/d/run", 0o700); err != nil {
		t.Fatal(err)
	}
	peer := exec.Command("sleep", "600")
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	defer peer.Process.Kill()
	if err := os.WriteFile(dir+"/peers/d/run/master.pid", []byte(strconv.Itoa(peer.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	guard := exec.Command("sh", "-c", leftovers, "sh", dir)
	alive, err := guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	alive.Close()
	if err := guard.Wait(); err != nil {
		t.Error(err)
	}
	peer.Process.Kill() // if it is still there
	peer.Wait()
	if status, ok := peer.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("the peer was not ended: %v", peer.ProcessState)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// TestCertificate: the peer's certificate is of the kind that plic makes for itself.
func TestCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeCertificate(dir); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := pair.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve.Params().Name != "P-256" {
		t.Errorf("the key is %T", pair.PrivateKey)
	}
	if err := pair.Leaf.VerifyHostname("mx.peer.test"); err != nil {
		t.Error(err)
	}
}
