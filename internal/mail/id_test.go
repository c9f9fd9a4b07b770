package mail

import (
	"bytes"
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	var ids IDs
	now := time.UnixMilli(1_700_000_000_000)
	last := ids.New(now)
	for i := range 10_000 {
		if i%1000 == 999 {
			now = now.Add(time.Millisecond)
		}
		id := ids.New(now)
		if bytes.Compare(id[:], last[:]) <= 0 {
			t.Fatalf("%s after %s", id, last)
		}
		if !id.Time().Equal(now) {
			t.Fatalf("%s is of %v, not %v", id, id.Time(), now)
		}
		last = id
	}
	back := now.Add(-time.Hour)
	if id := ids.New(back); !id.Time().Equal(back) {
		t.Errorf("after the clock was set back: %v, not %v", id.Time(), back)
	}
	for i := range last[6:] {
		last[6+i] = 0xff
	}
	ids.last = last
	if id := ids.New(now); id == last || !id.Time().Equal(now) {
		t.Errorf("after the last of a millisecond: %s of %v", id, id.Time())
	}
}
