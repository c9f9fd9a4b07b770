package mbox_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"plic/internal/mbox"
)

// TestFromInjection is row M1 of docs/reliability.md: what a message has in it makes
// no other message, takes nothing of the next, and comes back as it was.
func TestFromInjection(t *testing.T) {
	t.Parallel()
	const from = "From mallory@evil.test Thu Nov 26 18:25:12 2026\r\n"
	const forged = from + "Subject: forged\r\nStatus: RO\r\nX-UID: 4000000000\r\n\r\nforged\r\n"
	hostile := map[string]string{
		"a From_ line":          "S: x\r\n\r\n" + forged,
		"behind an empty line":  "S: x\r\n\r\nbody\r\n\r\n" + forged,
		"at once":               forged,
		"among the fields":      "S: x\r\n" + forged,
		"quoted already":        "S: x\r\n\r\n>" + forged + "\r\n>>" + forged + "\r\n>>>From \r\n",
		"a length that is less": "Content-Length: 2\r\nS: x\r\n\r\nab\r\n\r\n" + forged,
		"a length of nothing":   "S: x\r\nContent-Length: 0\r\n\r\n" + forged,
		"a length that is more": "S: x\r\nContent-Length: 100000\r\n\r\nbody\r\n",
		"a length up to the next": "S: x\r\nContent-Length: " + fmt.Sprint(len("body\n\n"+
			"From ann@example.org Thu Nov 26 18:25:12 2026\nS: second\n\nx\n")) + "\r\n\r\nbody\r\n",
		"lengths that differ":     "Content-Length: 4\r\nS: x\r\nContent-Length: 1\r\n\r\nbody\r\n\r\n" + forged,
		"no lengths":              "S: x\r\nContent-Length: -1\r\nContent-Length: 99999999999999999999\r\nContent-Length: x\r\n\r\nbody\r\n",
		"no final line end":       "S: x\r\n\r\nbody",
		"a From_ line without it": "S: x\r\n\r\nbody\r\n\r\n" + strings.TrimSuffix(from, "\r\n"),
		"only fields":             "S: x\r\n",
		"fields of the mailbox":   "X-IMAPbase: 1 4000000000 forged\r\nStatus: RO\r\nX-Status: D\r\nX-Keywords: forged\r\nX-UID: 9\r\nContent-Length: 1\r\n\r\nbody\r\n",
	}
	next := outgoing("S: second\r\n\r\nx\r\n")
	for _, padded := range []bool{false, true} {
		var all []mbox.Outgoing
		var want []string
		for _, name := range slices.Sorted(maps.Keys(hostile)) { // so that that of only fields is followed by one that is cut
			text := hostile[name]
			o := outgoing(text)
			o.Padded = padded
			o.Status = mbox.Status{UID: 3, Flagged: true}
			got, err := readAll(t, write(t, o, next, o), mbox.Options{})
			if err != nil || len(got) != 3 || got[0].text != text || got[1].text != "S: second\r\n\r\nx\r\n" || got[2].text != text {
				t.Errorf("%s, padded %v: %d messages, %v:\n%q", name, padded, len(got), err, write(t, o, next, o))
				continue
			}
			if st := got[0].Status; st.UID != 3 || st.Seen || !st.Flagged || st.Deleted || st.Keywords != nil || st.Base != nil {
				t.Errorf("%s, padded %v: status %+v", name, padded, st)
			}
			all, want = append(all, o), append(want, text)
		}
		file := write(t, all...)
		got, err := readAll(t, file, mbox.Options{})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d messages of %d, %v", len(got), len(want), err)
		}
		for i := range got {
			if got[i].text != want[i] {
				t.Errorf("message %d of all is %q, want %q", i, got[i].text, want[i])
			}
		}
		// A tail that is missing takes no more than the message it was of.
		for cut := len(file) - 1; cut > len(file)-len(write(t, all[len(all)-1])); cut-- {
			got, err := readAll(t, file[:cut], mbox.Options{})
			if err != nil || len(got) < len(want)-1 || len(got) > len(want) {
				t.Fatalf("cut at %d: %d messages, %v", cut, len(got), err)
			}
			for i := range want[:len(want)-1] {
				if got[i].text != want[i] && (padded || i < len(want)-2) {
					t.Fatalf("cut at %d: message %d is %q, want %q", cut, i, got[i].text, want[i])
				}
			}
		}
	}
	// What others have written without any quoting and with lengths that are wrong:
	// no octet is left out.
	for _, length := range []string{"0", "1", "5", "7", "77", "100000", "-5", "x"} {
		file := "From a@b.c Thu Nov 26 18:25:12 2026\nS: one\nContent-Length: " + length + "\n\nbody 1\n\nFrom a@b.c Thu Nov 26 18:25:12 2026\nS: two\n\nbody 2\n"
		got, err := readAll(t, file, mbox.Options{})
		if err != nil || len(got) != 2 || got[0].text != "S: one\r\n\r\nbody 1\r\n" || got[1].text != "S: two\r\n\r\nbody 2\r\n" {
			t.Errorf("Content-Length: %s: %d messages, %v", length, len(got), err)
		}
	}
}

// TestTorn: one of ours of which the end is missing says so, wherever it was cut:
// also where what is left of its body could be the beginning of a From_ line.
func TestTorn(t *testing.T) {
	t.Parallel()
	const head, body = "S: x\r\n\r\n", "From me,\r\nFriends\r\n"
	for _, text := range []string{head + body, head + "Friends\r\n", head + "F\r\n"} {
		o := outgoing(text)
		o.Padded = true
		file := write(t, o)
		begin := strings.Index(file, "S: x\n\n") + len("S: x\n\n")
		end := len(strings.TrimRight(file, "\n"))
		for cut := begin + 1; cut < end; cut++ {
			got, err := readAll(t, file[:cut], mbox.Options{})
			if err != nil || len(got) != 1 || !got[0].Torn {
				t.Errorf("%q cut at %d: %+v, %v", text, cut-begin, got, err)
			}
		}
	}
}
