//go:build !unix

package pipe

import (
	"errors"
	"os/exec"
)

// identity is who a program runs as: nobody can be named here.
type identity struct{ name, home string }

func identify(string) (*identity, error) {
	return nil, errors.New("commands cannot be run as a user on this system")
}

func (*identity) dir() string { return "" }

func (*identity) apply(*exec.Cmd) {}

func kill(cmd *exec.Cmd) { cmd.Process.Kill() }
