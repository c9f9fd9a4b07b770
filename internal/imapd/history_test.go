package imapd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// observer is a client that believes only what it is told: which messages there
// are, by number, and their flags.
type observer struct {
	*client
	uids  []string          // by number; "" not known yet
	flags map[string]string // by UID
}

var (
	toldFetch = regexp.MustCompile(`^\* (\d+) FETCH \((?:UID (\d+) ?)?(?:FLAGS \(([^)]*)\))?(?: ?MODSEQ \(\d+\))?\)$`)
	toldCount = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|RECENT)$`)
)

// run gives a command and learns from the responses. quiet says that EXPUNGE
// may not be among them.
func (o *observer) run(command string, quiet bool) string {
	o.t.Helper()
	lines, answer := o.do(command)
	for _, line := range lines {
		switch m := toldCount.FindStringSubmatch(line); {
		case m != nil:
			o.count(line, m[2], atoi(m[1]), quiet)
		case strings.Contains(line, " FETCH ("):
			f := toldFetch.FindStringSubmatch(line)
			if f == nil {
				o.t.Fatalf("%s: cannot read %q", command, line)
			}
			o.fetched(line, atoi(f[1]), f[2], f[3], strings.Contains(line, "FLAGS"))
		}
	}
	return answer
}

func (o *observer) count(line, what string, n int, quiet bool) {
	o.t.Helper()
	switch what {
	case "EXPUNGE":
		if quiet || n < 1 || n > len(o.uids) {
			o.t.Fatalf("%q is not allowed here with %d messages", line, len(o.uids))
		}
		delete(o.flags, o.uids[n-1])
		o.uids = slices.Delete(o.uids, n-1, n)
	case "EXISTS":
		if n < len(o.uids) {
			o.t.Fatalf("%q but there were %d", line, len(o.uids))
		}
		o.uids = append(o.uids, make([]string, n-len(o.uids))...)
	}
}

func (o *observer) fetched(line string, n int, uid, flags string, hasFlags bool) {
	o.t.Helper()
	if n < 1 || n > len(o.uids) {
		o.t.Fatalf("%q with %d messages", line, len(o.uids))
	}
	if known := &o.uids[n-1]; uid != "" {
		if *known != "" && *known != uid {
			o.t.Fatalf("%q but number %d was UID %s", line, n, *known)
		}
		*known = uid
	}
	if hasFlags && o.uids[n-1] != "" {
		words := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f == `\Recent` })
		slices.Sort(words)
		o.flags[o.uids[n-1]] = strings.Join(words, " ")
	}
}

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// TestRandomSessions lets several sessions change one mailbox at random. What
// each was told must add up to what there is, in the end and all the time.
func TestRandomSessions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			randomSessions(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func randomSessions(t *testing.T, r *rand.Rand) {
	h := newHouse(t, nil)
	observers := make([]*observer, 3)
	for i := range observers {
		o := &observer{client: h.open("alice"), flags: map[string]string{}}
		if i == 1 {
			o.ok("ENABLE CONDSTORE")
		}
		o.run("SELECT INBOX", true)
		observers[i] = o
	}
	flags := []string{`\Seen`, `\Deleted`, `\Flagged`, `\Answered`, "kw1", "kw2"}
	for range 300 {
		o := observers[r.IntN(len(observers))]
		set := "1:*"
		if n := len(o.uids); n > 0 {
			set = fmt.Sprintf("%d:%d", 1+r.IntN(n), 1+r.IntN(n))
		}
		uids := fmt.Sprintf("%d:%d", 1+r.IntN(60), 1+r.IntN(60))
		flag := flags[r.IntN(len(flags))]
		sign := []string{"+", "-", ""}[r.IntN(3)]
		switch r.IntN(12) {
		case 0, 1, 2:
			o.run("APPEND INBOX ("+flag+") {12+}\r\nSubject: x\r\n", false)
		case 3:
			o.run("NOOP", false)
		case 4:
			o.run("STORE "+set+" "+sign+"FLAGS ("+flag+")", true)
		case 5:
			// what a silent STORE does the client knows by itself
			o.run("UID STORE "+uids+" "+sign+"FLAGS.SILENT ("+flag+")", false)
			o.run("UID FETCH "+uids+" (FLAGS)", false)
		case 6:
			o.run("EXPUNGE", false)
		case 7:
			o.run("UID EXPUNGE "+uids, false)
		case 8:
			o.run("FETCH "+set+" (UID FLAGS)", true)
		case 9:
			o.run("UID FETCH "+uids+" (FLAGS)", false)
		case 10:
			o.run("COPY "+set+" INBOX", false)
		case 11:
			if r.IntN(4) == 0 {
				o.run("UID MOVE "+uids+" Trash", false)
			} else {
				o.run("SEARCH ALL", true)
			}
		}
	}
	var first map[string]string
	for i, o := range observers {
		o.run("NOOP", false)
		o.run("FETCH 1:* (UID)", true)
		told := maps.Clone(o.flags)
		o.run("FETCH 1:* (UID FLAGS)", true)
		for uid, f := range told {
			if o.flags[uid] != f {
				t.Errorf("observer %d was told %q for UID %s, which has %q", i, f, uid, o.flags[uid])
			}
		}
		if slices.Contains(o.uids, "") || len(o.uids) != len(o.flags) {
			t.Errorf("observer %d: %d messages, flags of %d", i, len(o.uids), len(o.flags))
		}
		if i == 0 {
			first = o.flags
		} else if !maps.Equal(first, o.flags) {
			t.Errorf("observer %d sees %v, the first %v", i, o.flags, first)
		}
	}
}
