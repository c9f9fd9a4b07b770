package imapd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// follower is a client that knows of mailboxes only what NOTIFY tells it.
type follower struct {
	*client
	prefix string
	boxes  map[string]map[string]string // values by item, "subscribed" among them, by name
}

var (
	followList   = regexp.MustCompile(`^\* LIST \(([^)]*)\) "/" (\S+)(?: \("OLDNAME" \((\S+)\)\))?$`)
	followStatus = regexp.MustCompile(`^\* STATUS (\S+) \((.*)\)$`)
)

// learn takes in a response, and gives the name that a LIST has.
func (f *follower) learn(line string) (listed string) {
	if m := followStatus.FindStringSubmatch(line); m != nil {
		box := f.boxes[m[1]]
		if box == nil {
			f.t.Errorf("%q, but of %s nothing was told", line, m[1])
			return ""
		}
		words := strings.Fields(m[2])
		for i := 0; i+1 < len(words); i += 2 {
			box[words[i]] = words[i+1]
		}
		return ""
	}
	m := followList.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	attributes, name, from := m[1], m[2], m[3]
	if strings.Contains(attributes, `\NonExistent`) && !strings.Contains(attributes, `\Subscribed`) {
		delete(f.boxes, name)
		return name
	}
	if from != "" {
		moved := map[string]map[string]string{}
		for old, box := range f.boxes {
			if below, ok := strings.CutPrefix(old, from); ok && (below == "" || below[0] == '/') && box["exists"] != "" {
				moved[name+below] = box
				delete(f.boxes, old)
			}
		}
		maps.Copy(f.boxes, moved)
	}
	if f.boxes[name] == nil || strings.Contains(attributes, `\Noselect`) {
		f.boxes[name] = map[string]string{}
	}
	box := f.boxes[name]
	if box["subscribed"] = ""; strings.Contains(attributes, `\Subscribed`) {
		box["subscribed"] = "yes"
	}
	if box["exists"] = "yes"; strings.Contains(attributes, `\NonExistent`) {
		box["exists"] = ""
	}
	return name
}

// await learns until a mailbox is told of.
func (f *follower) await(name string) {
	for {
		line, ok := f.line()
		if !ok {
			f.t.Fatal("the connection ended")
		}
		if f.learn(line) == name {
			return
		}
	}
}

// all asks for what there is.
func (f *follower) all(c *client) map[string]map[string]string {
	g := &follower{client: c, boxes: map[string]map[string]string{}}
	for _, line := range c.ok(`LIST "" "` + f.prefix + `*" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ))`) {
		g.learn(line)
	}
	for _, line := range c.ok(`LIST (SUBSCRIBED) "" "` + f.prefix + `*"`) { // those that there are not, too
		g.learn(line)
	}
	return g.boxes
}

// TestNotifyFollowed lets clients change mailboxes in all ways at once: what NOTIFY
// has told in the end is what there is.
func TestNotifyFollowed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		follow(t, seed, "alice", "", "personal (MailboxName SubscriptionChange MessageNew MessageExpunge FlagChange)")
	}
}

// TestNotifyFollowedAbroad does so with mailboxes of another, who gives rights to
// them and takes them back.
func TestNotifyFollowedAbroad(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		follow(t, seed, "bob", "user/alice/", "subtree user (MailboxName MessageNew MessageExpunge FlagChange)")
	}
}

// follow lets alice's mailboxes be changed, and another session, for which they have
// a prefix, be told.
func follow(t *testing.T, seed uint64, who, prefix, group string) {
	h := newHouse(t, func(o *Options) { o.PerUserIP = 20 })
	f := &follower{client: h.open(who), prefix: prefix}
	f.ok("ENABLE CONDSTORE")
	f.boxes = f.all(f.client)
	f.ok("NOTIFY SET (" + group + ")")
	var work sync.WaitGroup
	for i := range 3 {
		w, r := &worker{h, h.open("alice"), prefix != ""}, rand.New(rand.NewPCG(seed, uint64(i)))
		work.Go(func() {
			for range 60 {
				w.change(r)
			}
		})
	}
	work.Wait()
	maker := h.open("alice")
	for _, marker := range []string{"zz1", "zz2"} { // the second is told of after all that was before the first
		maker.ok("CREATE " + marker)
		maker.ok("SETACL " + marker + " bob lr")
		f.await(prefix + marker)
	}
	want := f.all(h.open(who))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for item, value := range want[name] {
			if got := f.boxes[name][item]; got != value && !(strings.HasPrefix(name, prefix+"zz") || got == "" && isNew(item, value)) {
				t.Errorf("seed %d: %s of %s is %s, %q was told", seed, item, name, value, got)
			}
		}
	}
	for name := range f.boxes {
		if want[name] == nil && strings.HasPrefix(name, prefix) {
			t.Errorf("seed %d: there is no %s", seed, name)
		}
	}
}

// isNew says that a value is that of a mailbox in which there was nothing yet.
func isNew(item, value string) bool {
	switch item {
	case "MESSAGES", "UNSEEN":
		return value == "0"
	case "UIDNEXT", "HIGHESTMODSEQ":
		return value == "1"
	}
	return item == "UIDVALIDITY"
}

// worker is a client that changes mailboxes.
type worker struct {
	h *house
	c *client

	shares bool
}

// do gives a command, which may end the session: what is selected may go.
func (w *worker) do(command string) (answer string) {
	w.c.send("x " + command + "\r\n")
	for {
		line, ok := w.c.line()
		if !ok {
			w.c = w.h.open("alice")
			return ""
		}
		if answer, ok := strings.CutPrefix(line, "x "); ok {
			return answer
		}
	}
}

// change does something at random. It may be that it cannot be done.
func (w *worker) change(r *rand.Rand) {
	names := []string{"a", "b", "a/x", "a/y", "b/x", "a/x/z"}
	name, to := names[r.IntN(len(names))], names[r.IntN(len(names))]
	if w.shares && r.IntN(3) == 0 {
		w.do("SETACL " + name + " bob " + []string{"lr", "l", `""`}[r.IntN(3)])
	}
	switch r.IntN(9) {
	case 0, 1:
		w.do("CREATE " + name)
	case 2:
		w.do("DELETE " + name)
	case 3:
		w.do("RENAME " + name + " " + to)
	case 4:
		w.do([]string{"SUBSCRIBE ", "UNSUBSCRIBE "}[r.IntN(2)] + name)
	case 5, 6:
		w.do(fmt.Sprintf("APPEND %s {3+}\r\nabc", name))
	default:
		if strings.HasPrefix(w.do("SELECT "+name), "OK") {
			w.do(`STORE 1 +FLAGS (\Seen)`)
			w.do(`STORE 1:* +FLAGS (\Deleted)`)
			w.do([]string{"CLOSE", "UNSELECT"}[r.IntN(2)])
		}
	}
}
