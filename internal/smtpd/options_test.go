package smtpd

import (
	"testing"
	"time"
)

// A limit that nobody set has its default; a time that was set to none stays
// none.
func TestLimitDefaults(t *testing.T) {
	t.Parallel()
	var l Limits
	l.defaults()
	if l.ErrorDelay != time.Second || l.Grace != 10*time.Second || l.Junk != 100 {
		t.Errorf("defaults: %+v", l)
	}
	l = Limits{ErrorDelay: -1, Grace: -1}
	l.defaults()
	if l.ErrorDelay > 0 || l.Grace > 0 {
		t.Errorf("none became a default: %+v", l)
	}
}
