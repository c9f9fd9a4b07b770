package crash

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// full is how many messages a mailbox may have before a reader clears it.
const full = 60

// desk is a reader's session, with the mailboxes that it alone changes: those
// below home, and INBOX if that is its own too.
type desk struct {
	*trial
	*link
	who, account, home string
	inbox              bool
	rng                *rand.Rand
	box                string // selected
	mark               mark   // of the selected mailbox
}

// reader changes the mail of an account by IMAP in every way there is.
func (x *trial) reader(user, home string, withInbox bool) func(string, *rand.Rand) error {
	return func(who string, rng *rand.Rand) error {
		c, err := imap(x.site.imap(), at(user))
		if err != nil {
			return err
		}
		defer c.Close()
		d := &desk{trial: x, link: c, who: who, account: at(user), home: home, inbox: withInbox, rng: rng}
		for range 40 {
			if err := d.step(); err != nil {
				return err
			}
		}
		_, err = c.do("LOGOUT")
		return err
	}
}

// step does one thing.
func (d *desk) step() error {
	boxes := d.boxes()
	if len(boxes) < 3 {
		return d.create()
	}
	if d.box == "" || d.rng.IntN(4) == 0 {
		box := boxes[d.rng.IntN(len(boxes))]
		if d.inbox && (d.rng.IntN(3) == 0 || len(d.ledger.in(d.account, inbox)) > full) {
			box = inbox
		}
		if err := d.open(box); err != nil {
			return err
		}
	}
	switch n := d.rng.IntN(100); {
	case len(d.messages()) > full:
		return d.expunge(len(d.messages()) - full/4)
	case n < 20:
		return d.append(boxes)
	case n < 45:
		return d.store()
	case n < 58:
		return d.copy("COPY", boxes)
	case n < 75:
		return d.copy("MOVE", boxes)
	case n < 85:
		return d.expunge(10)
	case n < 89 && len(boxes) < 10:
		return d.create()
	case n < 93:
		return d.rename(boxes)
	case n < 96:
		return d.remove(boxes)
	default:
		return d.subscribe()
	}
}

// open selects a mailbox.
func (d *desk) open(box string) (err error) {
	d.box = ""
	if d.mark, err = d.look(d.link, "SELECT", d.account, box); err == nil {
		d.box = box
	}
	return err
}

// boxes are the reader's mailboxes below home.
func (d *desk) boxes() []string {
	var all []string
	for _, f := range d.ledger.in(d.account, d.home) {
		if f.Token == exists && f.Box != d.home {
			all = append(all, f.Box)
		}
	}
	return all
}

// messages are those of the selected mailbox that anybody has seen.
func (d *desk) messages() []fact {
	return slices.DeleteFunc(d.ledger.in(d.account, d.box), func(f fact) bool { return f.UID == 0 || f.Box != d.box })
}

// some chooses some of the messages of the selected mailbox that this session
// was told of.
func (d *desk) some(most int) []fact {
	all := slices.DeleteFunc(d.messages(), func(f fact) bool { return f.UID >= d.mark.next })
	if len(all) == 0 {
		return nil
	}
	n := 1 + d.rng.IntN(min(most, len(all)))
	var chosen []fact
	for _, i := range slices.Sorted(slices.Values(d.rng.Perm(len(all))[:n])) {
		chosen = append(chosen, all[i])
	}
	return chosen
}

// set writes the UIDs of messages.
func set(list []fact) string {
	var uids []string
	for _, f := range list {
		uids = append(uids, strconv.Itoa(int(f.UID)))
	}
	return strings.Join(uids, ",")
}

// ask does an op that needs no more than OK.
func (d *desk) ask(kind string, remove, add []fact, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	o := d.ledger.begin(d.who, kind+" "+text, remove, add)
	r, err := d.do("%s", text)
	if err != nil {
		return d.finish(o, err)
	}
	d.ledger.acknowledge(o, r.last, 0)
	return nil
}

func (d *desk) append(boxes []string) error {
	box := boxes[d.rng.IntN(len(boxes))]
	if d.inbox && d.rng.IntN(4) == 0 {
		box = inbox
	}
	flags := d.flags()
	token, text := d.message(d.rng, d.account)
	o := d.ledger.begin(d.who, "APPEND "+token+" to "+box, nil, []fact{{Account: d.account, Box: box, Token: token, Flags: flags}})
	r, err := d.command(fmt.Sprintf("APPEND %q (%s)", box, flags), text)
	if err != nil {
		return d.finish(o, err)
	}
	m := r.find(appendCode)
	if m == nil {
		return &refusal{"APPEND", r.last}
	}
	d.ledger.acknowledge(o, r.last, numbers(m[1])[0], numbers(m[2])...)
	return nil
}

// flags chooses some.
func (d *desk) flags() string {
	all := []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `$Label`, `work`}
	var chosen []string
	for _, i := range d.rng.Perm(len(all))[:d.rng.IntN(4)] {
		chosen = append(chosen, all[i])
	}
	return flagList(chosen)
}

// store changes flags of several messages at once.
func (d *desk) store() error {
	chosen, flags := d.some(15), d.flags()
	if len(chosen) == 0 {
		return nil
	}
	mode := []string{"", "+", "-"}[d.rng.IntN(3)]
	return d.change(chosen, mode, flags)
}

func (d *desk) change(chosen []fact, mode, flags string) error {
	var before, after []fact
	for _, f := range chosen {
		changed := f
		have, given := strings.Fields(f.Flags), strings.Fields(flags)
		switch mode {
		case "":
			changed.Flags = flags
		case "+":
			changed.Flags = flagList(append(have, given...))
		case "-":
			changed.Flags = flagList(slices.DeleteFunc(have, func(x string) bool { return slices.Contains(given, x) }))
		}
		if changed != f {
			before, after = append(before, f), append(after, changed)
		}
	}
	text := fmt.Sprintf("UID STORE %s %sFLAGS (%s)", set(chosen), mode, flags)
	o := d.ledger.begin(d.who, "STORE in "+d.box+": "+text, before, after)
	r, err := d.do("%s", text)
	if err != nil {
		return d.finish(o, err)
	}
	d.ledger.acknowledge(o, r.last, 0)
	told := map[uint32]message{}
	for _, m := range r.messages() {
		told[m.uid] = m
		d.ledger.versioned(d.account, d.box, d.mark.validity, m)
		d.ledger.marked(d.account, d.box, mark{d.mark.validity, 0, m.modseq}, false)
	}
	for _, f := range after {
		if m, ok := told[f.UID]; !ok || m.flags != f.Flags {
			d.ledger.fault("%s: %s in %s answers %+v, not %s", d.who, text, d.box, m, f.Flags)
		}
	}
	return nil
}

// copy copies or moves messages to another mailbox.
func (d *desk) copy(verb string, boxes []string) error {
	to := boxes[d.rng.IntN(len(boxes))]
	if d.inbox && d.rng.IntN(10) == 0 {
		to = inbox
	}
	chosen := d.some(12)
	if len(chosen) == 0 || to == d.box {
		return nil
	}
	var goes, comes []fact
	for _, f := range chosen {
		comes = append(comes, fact{Account: f.Account, Box: to, Token: f.Token, Flags: f.Flags})
		if verb == "MOVE" {
			goes = append(goes, f)
		}
	}
	o := d.ledger.begin(d.who, fmt.Sprintf("%s %s from %s to %s", verb, set(chosen), d.box, to), goes, comes)
	r, err := d.do("UID %s %s %q", verb, set(chosen), to)
	if err != nil {
		return d.finish(o, err)
	}
	m := r.find(copyCode)
	if m == nil {
		return &refusal{verb, r.last}
	}
	src, dst := numbers(m[2]), numbers(m[3])
	if len(src) != len(chosen) || len(dst) != len(chosen) {
		return &refusal{verb, m[0]}
	}
	uids := make([]uint32, len(chosen))
	for i, f := range chosen {
		if at := slices.Index(src, f.UID); at >= 0 {
			uids[i] = dst[at]
		}
	}
	d.ledger.acknowledge(o, r.last, numbers(m[1])[0], uids...)
	return nil
}

// expunge removes messages for good: some by UID, or all that are marked.
func (d *desk) expunge(most int) error {
	chosen := d.some(most)
	if len(chosen) == 0 {
		return nil
	}
	if err := d.change(chosen, "+", `\Deleted`); err != nil {
		return err
	}
	marked := slices.DeleteFunc(d.messages(), func(f fact) bool { return !strings.Contains(f.Flags, `\Deleted`) })
	if d.rng.IntN(2) == 0 {
		return d.ask("EXPUNGE in "+d.box, marked, nil, "EXPUNGE")
	}
	goes := slices.DeleteFunc(marked, func(f fact) bool {
		return !slices.ContainsFunc(chosen, func(c fact) bool { return c.UID == f.UID })
	})
	return d.ask("EXPUNGE in "+d.box, goes, nil, "UID EXPUNGE %s", set(goes))
}

// create makes a mailbox, with a name that was there before or a new one.
func (d *desk) create() error {
	boxes := d.boxes()
	parent := d.home
	if len(boxes) > 2 && d.rng.IntN(3) == 0 {
		parent = boxes[d.rng.IntN(len(boxes))]
	}
	box := parent + "/" + string(rune('a'+d.rng.IntN(8)))
	if strings.Count(box, "/") > 2 || slices.Contains(boxes, box) {
		return nil
	}
	return d.ask("CREATE", nil, []fact{{Account: d.account, Box: box, Token: exists}}, "CREATE %q", box)
}

// rename gives a mailbox, and those below it, a name that none ever had.
func (d *desk) rename(boxes []string) error {
	from := boxes[d.rng.IntN(len(boxes))]
	to := fmt.Sprintf("%s/r%d", d.home, d.serial.Add(1))
	goes := d.ledger.in(d.account, from)
	comes := slices.Clone(goes)
	for i := range comes {
		comes[i].Box = to + strings.TrimPrefix(comes[i].Box, from)
	}
	if err := d.leave(); err != nil {
		return err
	}
	return d.ask("RENAME", goes, comes, "RENAME %q %q", from, to)
}

// remove deletes a mailbox that has none below it, with its messages.
func (d *desk) remove(boxes []string) error {
	box := boxes[d.rng.IntN(len(boxes))]
	goes := d.ledger.in(d.account, box)
	if len(boxes) < 5 || slices.ContainsFunc(goes, func(f fact) bool { return f.Box != box }) {
		return nil
	}
	if err := d.leave(); err != nil {
		return err
	}
	return d.ask("DELETE", goes, nil, "DELETE %q", box)
}

// leave closes the selected mailbox: what is in use is not renamed or deleted.
func (d *desk) leave() error {
	if d.box == "" {
		return nil
	}
	d.box = ""
	_, err := d.do("UNSELECT")
	return err
}

// subscribe subscribes to a mailbox, or no longer.
func (d *desk) subscribe() error {
	box := "Archive"
	if !d.inbox {
		box = "Junk"
	}
	f := []fact{{Account: d.account, Box: box, Token: subscribed}}
	for _, known := range d.ledger.in(d.account, box) {
		if known.Token == subscribed {
			return d.ask("UNSUBSCRIBE", f, nil, "UNSUBSCRIBE %q", box)
		}
	}
	return d.ask("SUBSCRIBE", nil, f, "SUBSCRIBE %q", box)
}
