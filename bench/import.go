package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// importRates has plic import a Maildir of n messages, without a server, and
// doveadm bring the same one into sdbox, in turns, and prints a table of time, rate
// and memory.
func importRates(ctx context.Context, n, octets, rounds int) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	source := &fileSite{format: "maildir", inbox: dir + "/source/" + filesName, site: site{letters: newLetters()}}
	if err := source.fillMaildir(n, octets); err != nil {
		return err
	}
	fmt.Printf("%d messages, some %d octets each, from a Maildir\n\n| | messages a second | time | most memory |\n|---|---|---|---|\n", n, octets)
	for range rounds {
		for _, side := range []func(context.Context, string, string) (importing, error){importPlic, importDovecot} {
			if err := importOnce(ctx, dir, source.inbox, n, side); err != nil {
				return err
			}
		}
	}
	return nil
}

// importing is a command that imports, and what ends its side.
type importing struct {
	name string
	cmd  *exec.Cmd
	end  func()
}

func importOnce(ctx context.Context, dir, source string, n int, side func(context.Context, string, string) (importing, error)) error {
	at := dir + "/peers" // where guard looks
	defer os.RemoveAll(at)
	i, err := side(ctx, at, source)
	if err != nil {
		return err
	}
	defer i.end()
	if out, err := exec.CommandContext(ctx, "sync").CombinedOutput(); err != nil { // what was written before is not its affair
		return fmt.Errorf("sync: %w: %s", err, out)
	}
	begin := time.Now()
	if out, err := i.cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", i.name, err, out)
	}
	took := time.Since(begin)
	usage, ok := i.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("the system does not say how much memory a program has used")
	}
	fmt.Printf("| %s | %.0f | %.1f s | %d MiB |\n", i.name, float64(n)/took.Seconds(), took.Seconds(), usage.Maxrss>>10)
	return nil
}

func importPlic(ctx context.Context, dir, source string) (importing, error) {
	s, err := filesPlic(ctx, dir, "native")
	if err != nil {
		return importing{}, err
	}
	s.end()
	return importing{"plic import", exec.CommandContext(ctx, dir+"/plic", "import", "maildir", source, filesUser, "--config", dir+"/plic.toml"), func() {}}, nil
}

func importDovecot(ctx context.Context, dir, source string) (importing, error) {
	s, err := filesDovecot(ctx, dir, "native")
	if err != nil {
		return importing{}, err
	}
	return importing{"doveadm import", exec.CommandContext(ctx, "doveadm", "-c", dir+"/d/dovecot.conf", "import", "-u", filesUser, "maildir:"+source, "", "all"), s.end}, nil
}
