package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"plic/test/peers"
)

// program is plic, built for the bench, and the settings it runs with.
type program struct {
	binary, config string
	address        string // where it answers once it is up
	server         *exec.Cmd
}

// build makes plic in a directory.
func build(ctx context.Context, dir string, settings []byte, address string) (*program, error) {
	p := &program{binary: dir + "/plic", config: dir + "/plic.toml", address: address}
	if err := os.WriteFile(p.config, settings, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", p.binary, "./cmd/plic")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	return p, nil
}

func (p *program) start(ctx context.Context) error {
	p.server = exec.Command(p.binary, "serve", "--config", p.config)
	p.server.Stderr = os.Stderr
	p.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.server.Start(); err != nil {
		return err
	}
	return peers.WaitFor(ctx, p.address)
}

func (p *program) stop() {
	p.server.Process.Signal(syscall.SIGTERM)
	p.server.Wait()
}

// run has a command do something, which may ask for the password.
func (p *program) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, p.binary, append(args, "--config", p.config)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("plic %v: %w: %s", args, err, out)
	}
	return nil
}
