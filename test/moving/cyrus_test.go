package moving

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plic/internal/moving"
	"plic/test/peers"
)

// cyrusUsers are in the default domain, and in another with a dot.
var cyrusUsers = []string{"ann", "o.h@other.test", "bob"}

// cyrus starts a Cyrus with mail of all kinds.
func cyrus(t *testing.T, address string, separator byte) *peers.Cyrus {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-moving-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &peers.Cyrus{Dir: dir, Address: address, Password: secret, Users: cyrusUsers, Separator: separator}
	peers.Started(t, c.Start(t.Context()))
	t.Cleanup(func() { c.Stop() })
	for _, user := range cyrusUsers[:2] {
		fillCyrus(t, c, user)
	}
	// What others share is theirs.
	if err := c.Ask("bob", "CREATE "+map[byte]string{'/': "bobs", '.': "INBOX.bobs"}[separator], "SETACL INBOX ann lrs", "SETACL "+map[byte]string{'/': "bobs", '.': "INBOX.bobs"}[separator]+" ann lrs"); err != nil {
		t.Fatal(err)
	}
	return c
}

func fillCyrus(t *testing.T, c *peers.Cyrus, user string) {
	t.Helper()
	lists, dotted, sent, drafts := "Lists/Gr&APwA3w-e", "Lists/a.b", "Gesendet", "Drafts"
	if c.Separator == '.' {
		lists, dotted, sent, drafts = "INBOX.Lists.Gr&APwA3w-e", "INBOX.Lists.a^b", "INBOX.Gesendet", "INBOX.Drafts"
	}
	if err := c.Ask(user, "CREATE "+lists, "CREATE "+dotted, "CREATE "+sent+` (USE (\Sent))`, "CREATE "+drafts+` (USE (\Drafts))`,
		"SUBSCRIBE INBOX", "SUBSCRIBE "+lists, "SUBSCRIBE "+sent, "SUBSCRIBE "+drafts); err != nil {
		t.Fatal(err)
	}
	// A special use that is gone again. With dots Cyrus does not find the mailbox.
	if err := c.Ask(user, fmt.Sprintf(`SETMETADATA %s (/private/specialuse "\\Junk")`, lists), fmt.Sprintf(`SETMETADATA %s (/private/specialuse NIL)`, lists)); err != nil && c.Separator == '/' {
		t.Fatal(err)
	}
	flags := []string{"", `\Seen`, `\Flagged \Seen work`, `\Answered $Forwarded`, `\Deleted`, `\Draft later`, `\Seen $Junk`}
	kept := 0
	for i, text := range corpus() {
		box := []string{"INBOX", sent, lists, dotted}[i%4]
		command := fmt.Sprintf("APPEND %s (%s) \"%2d-Feb-20%02d 10:%02d:00 +0130\" {%d+}\r\n%s", box, flags[i%len(flags)], 1+i%28, i%26, i%60, len(text), text)
		if err := c.Ask(user, command); err == nil { // it takes no header with faults
			kept++
		}
	}
	if kept < 20 {
		t.Fatalf("Cyrus took %d messages", kept)
	}
	if err := c.Ask(user, "SELECT INBOX", `UID STORE 2,4 +FLAGS.SILENT (\Deleted)`, "UID EXPUNGE 2,4", "UID STORE 1 +FLAGS.SILENT (work)", "UID STORE 1 -FLAGS.SILENT (work)"); err != nil {
		t.Fatal(err)
	}
}

// TestCyrus: accounts of a real Cyrus come by IMAP, as their user, as an
// administrator and from a list, and from the spool, with UIDs, flags, keywords,
// dates, subscriptions, special uses and every octet.
func TestCyrus(t *testing.T) {
	t.Parallel()
	for i, separator := range []byte{'/', '.'} {
		t.Run(string(separator), func(t *testing.T) {
			t.Parallel()
			c := cyrus(t, fmt.Sprintf("127.77.6.%d", 1+i), separator)
			want, folders := look(t, c.Address+":143", "ann")
			if len(want["INBOX"]) < 4 || len(want) != 4 || slices.ContainsFunc(folders, func(f moving.Folder) bool { return strings.Contains(f.Name, "bob") }) {
				t.Fatalf("%d in INBOX, %+v", len(want["INBOX"]), folders)
			}
			server := []string{"import", "imap", c.Address + ":143", "--tls", "none"}
			conf := filepath.Join(c.Dir, "imapd.conf")
			for how, args := range map[string][]string{
				"as the user":      append(slices.Clone(server), newcomer, "--user", "ann", "--password-stdin"),
				"as administrator": append(slices.Clone(server), newcomer, "--user", "cyrus", "--as", "ann", "--password-stdin"),
				"the spool":        {"import", "cyrus", conf, newcomer, "--user", "ann"},
				"a partition":      {"import", "cyrus", c.Spool(), newcomer, "--user", "ann"},
			} {
				if how == "a partition" && separator == '.' {
					continue // it does not tell what a "^" stands for
				}
				t.Run(how, func(t *testing.T) {
					s := site(t)
					said := plic(t, s.Dir, secret+"\n", args...)
					got, there := look(t, s.At(143), newcomer)
					wanted := folders
					if how == "a partition" { // what is subscribed is elsewhere
						wanted = nil
					} else if i := slices.IndexFunc(there, func(f moving.Folder) bool { return f.SpecialUse == `\Sent` }); i < 0 || there[i].Name != "Gesendet" {
						t.Errorf("special uses: %+v", there)
					}
					same(t, how, got, want, there, wanted)
					if !strings.Contains(said, "digest") || t.Failed() {
						t.Error(said)
					}
					if again := plic(t, s.Dir, secret+"\n", args...); !strings.Contains(again, "imported 0 messages") {
						t.Errorf("a second time: %s", again)
					}
				})
			}
			manyFromCyrus(t, c, server, want, folders)
		})
	}
}

// manyFromCyrus brings many accounts in one run; one that fails does not end the
// others, and is named in the end.
func manyFromCyrus(t *testing.T, c *peers.Cyrus, server []string, want letters, folders []moving.Folder) {
	t.Helper()
	other, others := look(t, c.Address+":143", "o.h@other.test")
	const second, lost = "other@plic.test", "lost@plic.test"
	conf := filepath.Join(c.Dir, "imapd.conf")
	for how, x := range map[string]struct {
		args []string
		list string
	}{
		"many by IMAP":        {server, "%s nobody " + secret + "\n%s cyrus " + secret + " ann\n%s cyrus " + secret + " o.h@other.test\n"},
		"many from the spool": {[]string{"import", "cyrus", conf}, "%s nobody\n%s ann\n%s o.h@other.test\n"},
	} {
		t.Run(how, func(t *testing.T) {
			s := site(t)
			for _, a := range []string{second, lost} {
				plic(t, s.Dir, secret+"\n", "account", "add", a, "--password-stdin")
			}
			cmd := exec.CommandContext(t.Context(), program, append(slices.Clone(x.args), "--accounts", "-", "--dir", s.Dir)...)
			cmd.Stdin = strings.NewReader(fmt.Sprintf(x.list, lost, newcomer, second))
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "1 of 3 accounts were not imported, or not all of them: "+lost) {
				t.Errorf("%v %s", err, out)
			}
			got, there := look(t, s.At(143), newcomer)
			same(t, how, got, want, there, folders)
			got, there = look(t, s.At(143), second)
			delete(got, "INBOX") // has had a welcome, so it has other UIDs
			some := letters{}
			for name, list := range other {
				if name != "INBOX" {
					some[name] = list
				}
			}
			same(t, how, got, some, there, slices.DeleteFunc(slices.Clone(others), func(f moving.Folder) bool { return f.Name == "INBOX" }))
		})
	}
}
