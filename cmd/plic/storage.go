package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"plic/internal/backup"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/vfs"

	"github.com/spf13/cobra"
)

// withStorage does something with the storage of the site: by its server if one
// runs, else with what is in the directory.
func (a *app) withStorage(ctx context.Context, do func(control.Storage) error) error {
	c, err := a.site()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, c.DataDir)
	if err == nil {
		return errors.Join(do(client.Operations().Storage), client.Close())
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if err := do(a.host.Storage(c)); err != nil {
		return fmt.Errorf("data directory %s: %w", filepath.Clean(c.DataDir), err)
	}
	return nil
}

func (a *app) backupCommand() *cobra.Command {
	var keep int
	c := &cobra.Command{
		Use: "backup DIRECTORY", Short: "Copy the site's data while it is in use",
		Long: `Copy the data directory into a new directory below DIRECTORY, named by the time.
A running server goes on meanwhile; the copy is that of one moment. What did not
change since the last backup there takes no room again, and every backup is whole
by itself: any may be removed with rm -r.

The configuration and mailboxes in other formats are outside of the data directory.`,
		Example: "  plic backup /var/backups/plic --keep 14\n  plic backup list /var/backups/plic\n  plic backup verify /var/backups/plic",
		Args:    arguments(1, 1, "the directory"),
		RunE: func(c *cobra.Command, args []string) error {
			to, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return a.withStorage(c.Context(), func(s control.Storage) error {
				bar := a.newBar("copied", octets)
				var last control.BackupProgress
				for p, err := range s.Backup(c.Context(), control.BackupOrder{To: to, Keep: keep}) {
					if err != nil {
						bar.end()
						return err
					}
					bar.show(p.Bytes, p.Total)
					last = p
				}
				bar.end()
				if a.json {
					return jsonLines(a.out, only(last))
				}
				fmt.Fprintf(a.out, "%s: %d files, %s, of which %s are new\n", last.Path, last.Files, octets(last.Bytes), octets(last.Copied))
				return nil
			})
		},
	}
	c.Flags().IntVar(&keep, "keep", 0, "remove the oldest backups beyond this `number`")
	c.AddCommand(a.backupListCommand(), a.backupVerifyCommand())
	return a.jsonFlag(c)
}

func (a *app) backupListCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list DIRECTORY", Short: "The backups in a directory",
		Example: "  plic backup list /var/backups/plic",
		Args:    arguments(1, 1, "the directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := backup.List(vfs.Disk(), args[0])
			if err != nil {
				return err
			}
			return list(a, values(all), "There are no backups.", []string{"BACKUP", "MADE", "FILES", "SIZE", "OF"}, func(b backup.Backup) []string {
				return []string{filepath.Base(b.Path), when(b.Made, a.now()), strconv.Itoa(b.Files), octets(b.Bytes), b.From}
			})
		},
	})
}

func (a *app) backupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify BACKUP", Short: "Read a backup and compare it with what was copied",
		Long: `Read every file of a backup, or of the newest one in a directory of backups, and
compare it with the checksum that it had when it was copied.`,
		Example: "  plic backup verify /var/backups/plic\n  plic backup verify /var/backups/plic/20260501T000000Z",
		Args:    arguments(1, 1, "the backup"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := backup.Find(vfs.Disk(), args[0])
			if err != nil {
				return err
			}
			bar := a.newBar("read", octets)
			wrong := 0
			for p, err := range backup.Verify(c.Context(), vfs.Disk(), b, func(p backup.Progress) { bar.show(p.Bytes, p.TotalBytes) }) {
				if err != nil {
					bar.end()
					return err
				}
				wrong++
				bar.line("%s", p)
			}
			bar.end()
			if wrong > 0 {
				return fmt.Errorf("%s: %d of %d files are damaged", b.Path, wrong, b.Files)
			}
			fmt.Fprintf(a.out, "%s: %d files, %s, are as they were copied\n", b.Path, b.Files, octets(b.Bytes))
			return nil
		},
	}
}

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore BACKUP", Short: "Make a data directory of a backup",
		Long: `Make the data directory named by --dir or the configuration, which must be new or
empty, of a backup, or of the newest one in a directory of backups. Every file is
compared with its checksum, and then every record and message is read.

What came after the backup is gone, but clients have seen it: so UIDs go on far
above those of the backup, and what was in the queue is held, since most of it
has been delivered: see plic queue list, and release or remove it.`,
		Example: "  plic restore /var/backups/plic --dir /var/lib/plic",
		Args:    arguments(1, 1, "the backup"),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := a.target()
			if err != nil {
				return err
			}
			bar := a.newBar("restored", octets)
			b, problems, err := a.host.Restore(c.Context(), args[0], conf, func(p backup.Progress) { bar.show(p.Bytes, p.TotalBytes) })
			bar.end()
			for _, p := range problems {
				fmt.Fprintln(a.err, clean(p.String()))
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: restored %d files, %s, to %s\n", b.Path, b.Files, octets(b.Bytes), conf.DataDir)
			if err := a.verifyStore(c.Context(), a.host.Storage(conf)); err != nil {
				return err
			}
			if len(problems) > 0 {
				return fmt.Errorf("%d files of the backup are damaged", len(problems))
			}
			return nil
		},
	}
}

// target is the site that a backup is to become: its directory need not exist.
func (a *app) target() (*config.Config, error) {
	if a.configFile == "" && a.dir != "" {
		c := config.Default()
		c.DataDir = a.dir
		return c, nil
	}
	c, _, err := a.loadNamed(nil)
	if err == nil && a.dir != "" {
		c.DataDir = a.dir
	}
	return c, err
}

// verifyStore runs the checks of a store and fails if they find something.
func (a *app) verifyStore(ctx context.Context, s control.Storage) error {
	found := 0
	for f, err := range s.Check(ctx) {
		if err != nil {
			return err
		}
		found++
		if a.json {
			if err := jsonLines(a.out, only(f)); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(a.out, "%s: %s\n", clean(f.Record), clean(f.Fault))
	}
	switch found {
	case 0:
		fmt.Fprintln(a.err, "Every record and message is sound.")
		return nil
	case 1:
		return errors.New("1 thing is damaged: stop the server and run plic repair, which keeps all that is left of it")
	}
	return fmt.Errorf("%d things are damaged: stop the server and run plic repair, which keeps all that is left of them", found)
}

func (a *app) repairCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "repair", Short: "Set right what plic check finds",
		Long: `Set right what plic check finds wrong with records and messages, while no server
runs. Indexes, counters and references are made anew of what is sound. What cannot
be read leaves the store for files in the directory "damaged" of the data
directory, with all octets that are left of it, and is named; everything else
stays where it is.`,
		Example: "  plic check\n  plic repair",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStorage(c.Context(), func(s control.Storage) error {
				head := []string{"WHAT", "DONE", "KEPT IN"}
				return list(a, s.Repair(c.Context()), "There was nothing to repair.", head, func(f control.Fault) []string {
					return []string{f.Record, f.Fault, f.Kept}
				})
			})
		},
	})
}
