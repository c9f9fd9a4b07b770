package imapd

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"plic/internal/store"
)

// hiding is a house in which alice, and the account of what is shared, share with bob
// and, in one of two worlds, hide mailboxes from him.
type hiding struct {
	*house
	owner *store.Account
}

func (h *hiding) make(name string, r store.Rights) {
	h.t.Helper()
	ctx := context.Background()
	if err := h.owner.Create(ctx, name, ""); err != nil {
		h.t.Fatal(err)
	}
	mb := h.grant(name, r)
	d, err := h.store.NewDraft(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	fmt.Fprintf(d, "Subject: in %s\r\n\r\n", name)
	if _, err := mb.Append(ctx, store.Incoming{Draft: d}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hiding) grant(name string, r store.Rights) *store.Mailbox {
	h.t.Helper()
	mb, err := h.owner.Mailbox(name)
	if err != nil {
		h.t.Fatal(err)
	}
	err = mb.ChangeACL(context.Background(), func(store.ACL) store.ACL { return store.ACL{}.With(store.Grant{Who: "bob", Rights: r}) })
	if err != nil {
		h.t.Fatal(err)
	}
	return mb
}

func (h *hiding) remove(name string) {
	h.t.Helper()
	if err := h.owner.Delete(context.Background(), name); err != nil {
		h.t.Fatal(err)
	}
}

// newHiding makes one of the worlds. r are the rights to what is hidden.
func newHiding(t *testing.T, hides bool, r store.Rights) *house {
	t.Helper()
	house := newHouse(t, func(o *Options) { o.Shared = func(string) string { return "team" } })
	for _, name := range []string{"alice", "team"} {
		owner, err := house.store.Account(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		h := &hiding{house, owner}
		for _, name := range []string{"Top", "Top/a", "Top/a/b", "Top-b", "Twig", "Stem/leaf", "Veil/shown", "Two/of/three"} {
			h.make(name, store.AllRights)
		}
		h.grant("INBOX", store.MayLookup|store.MayCreate)
		if hides {
			for _, name := range []string{"Top/hid", "Top/a/hid", "Top/a/b/hid", "Twig/hid", "Hid", "Hid/deep", "Stem/hid", "Bare/hid"} {
				h.make(name, r)
			}
			for _, name := range []string{"Veil", "Two/of"} {
				h.grant(name, r)
			}
			h.remove("Bare") // its name stays, for what is hidden below it
		} else {
			h.remove("Veil")
			h.remove("Two/of")
		}
		h.remove("Stem")
	}
	return house
}

var varies = regexp.MustCompile(`(UIDVALIDITY |MAILBOXID \(|APPENDUID |COPYUID |EMAILID \(|THREADID \()[0-9A-Za-z-]+`)

// told is all that is said to bob after commands, but numbers that are drawn.
func (h *house) told(commands []string) string {
	c := h.open("bob")
	defer c.nc.Close()
	var out []string
	for _, command := range commands {
		lines, answer := c.do(command)
		out = append(append(append(out, "> "+command), lines...), answer)
	}
	return varies.ReplaceAllString(strings.Join(out, "\n"), "$1?")
}

// hiddenNames are of what is hidden in one world and is not in the other.
var hiddenNames = []string{"Top/hid", "Top/a/hid", "Twig/hid", "Hid", "Hid/deep", "Stem/hid", "Bare", "Bare/hid", "Veil", "Two/of"}

// looks list all that may be seen, in every way.
var looks = []string{
	`LIST "" *`, `LIST "" %`, `LIST "" user/% RETURN (CHILDREN SUBSCRIBED)`, `LIST "" shared/% RETURN (CHILDREN)`, `LIST "" user/alice/%/%`,
	`LIST "" (user/* shared/*) RETURN (STATUS (MESSAGES UNSEEN SIZE) MYRIGHTS METADATA (/shared/comment))`,
	`LIST (SUBSCRIBED) "" * RETURN (CHILDREN)`, `LIST (SUBSCRIBED RECURSIVEMATCH) "" %`, `LIST (SUBSCRIBED RECURSIVEMATCH) "" user/alice/%`, `LSUB "" *`, `LSUB "" user/alice/%`,
	`ESEARCH IN (subtree user subtree shared) RETURN (ALL) ALL`, `ESEARCH IN (subtree-one shared/Top subscribed) RETURN (COUNT) ALL`,
}

// TestHiddenAreNot: what a user may not look up answers every command as if it were
// not there, and so do the mailboxes around it: octet for octet.
func TestHiddenAreNot(t *testing.T) {
	t.Parallel()
	for prefix, r := range map[string]store.Rights{"user/alice/": 0, "shared/": store.AllRights &^ store.MayLookup} {
		compare := func(commands []string) {
			t.Helper()
			with, without := newHiding(t, true, r), newHiding(t, false, r)
			got, want := strings.Split(with.told(commands), "\n"), strings.Split(without.told(commands), "\n")
			with.close()
			without.close()
			command := ""
			for i := range max(len(got), len(want)) {
				if i == len(got) || i == len(want) || got[i] != want[i] {
					t.Errorf("rights %q, after %q\nhidden: %q\nabsent: %q", r, command, got[i:min(i+2, len(got))], want[i:min(i+2, len(want))])
					break
				}
				if strings.HasPrefix(got[i], "> ") {
					command = got[i]
				}
			}
		}
		all := append([]string{"APPEND INBOX {3+}\r\nabc", "SELECT INBOX"}, looks...)
		for _, name := range hiddenNames {
			for _, v := range verbs() {
				if strings.HasPrefix(v.text, "CREATE") || strings.HasPrefix(v.text, "RENAME") {
					continue
				}
				all = append(all, fmt.Sprintf(v.text, prefix+name))
			}
			for v := range quietVerbs() {
				all = append(all, fmt.Sprintf(v, prefix+name), "NOTIFY NONE")
			}
		}
		compare(append(all, looks...))
		for _, command := range []string{
			"DELETE %sTop", "DELETE %sTop/a", "DELETE %sTwig", "DELETE %sStem/leaf", "DELETE %sStem", "DELETE %sVeil/shown", "DELETE %sTwo/of/three", "DELETE %sTwo",
			"RENAME %[1]sTop %[1]sNew", "RENAME %[1]sTop/a %[1]sTop-b/a", "RENAME %[1]sTwig %[1]sTop/twig", "RENAME %[1]sVeil/shown %[1]sshown",
			"RENAME %[1]sStem %[1]sNew", "RENAME %[1]sTwo %[1]sNew", "RENAME %[1]sTwig %[1]sVeil", "RENAME %[1]sTwig %[1]sStem", "RENAME %[1]sTop/a %[1]sTop-b",
			"CREATE %sTop/fresh", "CREATE %sTwig/fresh/deeper", "CREATE %sStem/fresh", "CREATE %sBare", "CREATE %sStem", "CREATE %sTop/a",
			"SUBSCRIBE %sTop", "SUBSCRIBE %sStem", "UNSUBSCRIBE %sHid", "GETQUOTAROOT %sTop", "SETQUOTA %sTop (STORAGE 5)",
		} {
			first := fmt.Sprintf(command, prefix)
			again := append([]string{first}, looks...)
			compare(append(append(again, first), looks...))
		}
	}
}

// TestHiddenNamesAreTaken: that a name cannot be had is told, but not why.
func TestHiddenNamesAreTaken(t *testing.T) {
	t.Parallel()
	h := newHiding(t, true, 0)
	for _, command := range []string{
		"CREATE shared/Hid", "CREATE shared/Top/hid", "CREATE shared/Hid/x", "CREATE shared/Top/hid/x", "CREATE shared/Veil/x",
		"RENAME shared/Twig shared/Hid", "RENAME shared/Twig shared/Top/hid", "RENAME shared/Twig shared/Bare", "RENAME shared/Twig shared/Hid/x",
	} {
		if got := h.told([]string{command}); !strings.Contains(got, "\nNO [NOPERM]") {
			t.Error(got)
		}
	}
}

// TestNamesAboveOthers: who goes down level by level finds what is below a name of no
// mailbox, or of one that is hidden, which cannot be told apart.
func TestNamesAboveOthers(t *testing.T) {
	t.Parallel()
	h := newHiding(t, true, 0)
	for command, want := range map[string]string{
		`LIST "" shared/%`: `* LIST (\HasNoChildren) "/" shared/INBOX|* LIST (\Noselect \HasChildren) "/" shared/Stem|* LIST (\HasChildren) "/" shared/Top|* LIST (\HasNoChildren) "/" shared/Top-b|` +
			`* LIST (\HasNoChildren) "/" shared/Twig|* LIST (\Noselect \HasChildren) "/" shared/Two|* LIST (\Noselect \HasChildren) "/" shared/Veil|OK LIST completed`,
		`LIST "" shared/Two/%`: `* LIST (\Noselect \HasChildren) "/" shared/Two/of|OK LIST completed`,
		"DELETE shared/Stem":   "NO [HASCHILDREN] there are mailboxes below it",
		"DELETE shared/Veil":   "NO [HASCHILDREN] there are mailboxes below it",
		"DELETE shared/Bare":   "NO [NONEXISTENT] there is no such mailbox",
		"SELECT shared/Veil":   "NO [NONEXISTENT] there is no such mailbox",
	} {
		if got := strings.ReplaceAll(h.told([]string{command}), "\n", "|"); got != "> "+command+"|"+want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
