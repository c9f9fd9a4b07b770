package imapd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/store"
)

// battery is given to two sessions of bob's; what it says shows in which state they are.
var battery = []string{
	"NOOP", "CAPABILITY", "FETCH 1 FLAGS", "SEARCH ALL", "SEARCH $", `CANCELUPDATE "x"`, `STATUS INBOX (MESSAGES)`, `LIST "" *`, `LIST "" user/*`,
	`STATUS "&AOk-" (MESSAGES)`, "NONSENSE", "SELECT Nothere", "EXAMINE INBOX", "SEARCH $", "SEARCH ALL", "FETCH 1:* FLAGS", "UID FETCH 1:* (FLAGS)", "STORE 1 +FLAGS (\\Seen)",
	"UID EXPUNGE 1", `CANCELUPDATE "x"`, "SORT (DATE) UTF-8 ALL", "EXAMINE INBOX (QRESYNC (1 1))", "FETCH 1 (UID) (CHANGEDSINCE 1 VANISHED)", "STORE 1 -FLAGS (\\Seen)",
	`FETCH 1 BINARY.PEEK[]<0.5>`, "UNSELECT", "NAMESPACE", `GETMETADATA "" /private/comment`, "GETQUOTAROOT INBOX", "MYRIGHTS INBOX",
}

// TestUnauthenticateLeavesNothing: who logs in after UNAUTHENTICATE is told what it is told in
// a new session, octet for octet, whatever the session was used for before.
func TestUnauthenticateLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.PerUserIP = 3 })
	h.deliver("INBOX", store.Flags{}, "Subject: 1\r\n\r\n0123456789", "Subject: 2\r\n\r\n0123456789")
	bob := h.open("bob")
	bob.ok("APPEND INBOX {3+}\r\nabc")
	bob.ok("LOGOUT")
	for name, before := range map[string][]string{
		"modes":     {"ENABLE IMAP4rev2 UTF8=ACCEPT CONDSTORE QRESYNC", "SELECT INBOX", "FETCH 1 MODSEQ"},
		"uid only":  {"ENABLE UIDONLY QRESYNC", "SELECT INBOX", "UID FETCH 1 FLAGS"},
		"language":  {"LANGUAGE ro", "SELECT INBOX"},
		"saved":     {"SELECT INBOX", "SEARCH RETURN (SAVE) ALL", "FETCH 1 BINARY.PEEK[]<1.3>", "FETCH 1 BODY[]", "FETCH 2 BODY[]"},
		"contexts":  {"SELECT INBOX", "SEARCH RETURN (UPDATE ALL) ALL", "UID SEARCH RETURN (COUNT) SEEN"},
		"notify":    {"SELECT INBOX", "NOTIFY SET STATUS (selected (MessageNew (FLAGS) MessageExpunge)) (personal (MailboxName MessageNew MessageExpunge))"},
		"notify 2":  {"NOTIFY SET (subtree user (MailboxName MessageNew MessageExpunge)) (inboxes (MessageNew MessageExpunge FlagChange))", "ENABLE CONDSTORE"},
		"read only": {"EXAMINE INBOX"},
		"idle":      {"SELECT INBOX", "IDLE\r\nDONE"},
		"failures":  slices.Repeat([]string{"NONSENSE"}, 19),
	} {
		for _, packed := range []bool{false, true} {
			run := func(c *client, battery []string) (out []string) {
				for _, command := range battery {
					lines, answer := c.do(command)
					out = append(append(append(out, "> "+command), lines...), answer)
				}
				return out
			}
			used, fresh := h.open("alice"), h.dial("127.0.0.1:4000")
			if packed {
				used.nc.Close()
				used = h.compressed(t, h.pipe(t))
			}
			run(used, before)
			used.ok("UNAUTHENTICATE")
			other := h.open("alice")
			h.deliver("INBOX", store.Flags{}, "Subject: 3\r\n\r\n0123456789") // is not told of any more
			other.ok("SELECT INBOX")
			other.ok("STORE 1:* +FLAGS (\\Flagged)")
			other.ok("LOGOUT")
			fresh.expect("* OK ...")
			for _, c := range []*client{used, fresh} {
				if lines, answer := c.do("NOOP"); len(lines) > 0 || !strings.HasPrefix(answer, "OK") {
					t.Errorf("%s: before login %q", name, lines)
				}
				c.ok("LOGIN bob secret")
			}
			got, want := run(used, battery), run(fresh, battery)
			if packed {
				for i := range want {
					want[i] = strings.Replace(want[i], " COMPRESS=DEFLATE", "", 1)
				}
			}
			for i := range max(len(got), len(want)) {
				if i == len(got) || i == len(want) || got[i] != want[i] {
					t.Errorf("%s: after UNAUTHENTICATE %.3q\nin a new session %.3q", name, got[min(i, len(got)):], want[min(i, len(want)):])
					break
				}
			}
			used.nc.Close()
			fresh.nc.Close()
			for h.server.sessions.Len() > 0 { // until they have ended
				time.Sleep(time.Millisecond)
			}
		}
	}
}
