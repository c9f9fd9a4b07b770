package score

import (
	"fmt"

	"plic/internal/mail"
)

// Action is what becomes of a message.
type Action int

// The actions, the mildest first.
const (
	Accept Action = iota
	Tag           // say so in the header, and in the subject where that is wanted
	Junk
	Quarantine // not to its recipients, but to who looks after such
	Discard
	Greylist // put off, if nobody like this has come back before
	Defer
	Refuse
)

// String names the action.
func (a Action) String() string {
	return [...]string{"accept", "tag", "junk", "quarantine", "discard", "greylist", "defer", "refuse"}[a]
}

// ParseAction reads the name of an action.
func ParseAction(name string) (Action, error) {
	for a := Accept; a <= Refuse; a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return Accept, fmt.Errorf("there is no action %q", name)
}

// Limits are the scores from which on something is done; 0 is never.
type Limits struct {
	Tag, Greylist, Junk, Quarantine, Refuse float64
	Subject                                 string // what Tag puts before the subject; "" for nothing
}

// action is what a score leads to. Greylisting comes before all that takes the
// message.
func (l Limits) action(score float64) Action {
	for _, x := range []struct {
		from   float64
		action Action
	}{{l.Refuse, Refuse}, {l.Greylist, Greylist}} {
		if x.from > 0 && score >= x.from {
			return x.action
		}
	}
	return l.taken(score)
}

// taken is what becomes of a message with the score that is taken.
func (l Limits) taken(score float64) Action {
	for _, x := range []struct {
		from   float64
		action Action
	}{{l.Quarantine, Quarantine}, {l.Junk, Junk}, {l.Tag, Tag}} {
		if x.from > 0 && score >= x.from {
			return x.action
		}
	}
	return Accept
}

// Failure is what the sender of a message is told that is not taken, nil if it is.
func (v *Verdict) Failure() *mail.Failure {
	switch {
	case v.failure != nil:
		return v.failure
	case v.Action == Refuse:
		return &mail.Failure{Op: "judge the message", Err: fmt.Errorf("its score is %.1f", v.Score),
			Status: mail.Reply(550, "5.7.1", orElse(v.Reason, "the message looks like spam"))}
	case v.Action == Defer:
		return &mail.Failure{Op: "judge the message", Err: fmt.Errorf("its score is %.1f", v.Score),
			Status: mail.Reply(451, "4.7.1", orElse(v.Reason, "the message cannot be taken now, try again later"))}
	}
	return nil
}

// Together is what one answer for all says to verdicts of the recipients of one
// message: it refuses, or puts off, only if that is right for each of them.
func Together(all []*Verdict) (refused *mail.Failure, putOff bool) {
	if len(all) == 0 {
		return nil, false
	}
	putOff = true
	refuse := true
	for _, v := range all {
		refuse = refuse && v.Failure() != nil
		putOff = putOff && (v.Action >= Greylist || v.Failure() != nil)
	}
	if refuse {
		return all[0].Failure(), false
	}
	return nil, putOff
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
