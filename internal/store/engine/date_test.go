package engine

import (
	"testing"
	"time"
)

// TestDate: instants and zones come back, also what was written without a zone.
func TestDate(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"01 Jan 1970 00:00:00 +0000", "31 Dec 1969 23:59:59 +0000", "29 Feb 2024 23:30:00 -0930",
		"01 Mar 2024 00:10:00 +1400", "01 Jan 0001 00:00:00 +0000", "31 Dec 9999 23:59:59 -1200", "12 Dec 1955 12:00:00 +0530",
	} {
		at, err := time.Parse("02 Jan 2006 15:04:05 -0700", text)
		if err != nil {
			t.Fatal(err)
		}
		d := DateOf(at)
		if got := d.Time().Format("02 Jan 2006 15:04:05 -0700"); got != text || d.Unix() != at.Unix() {
			t.Errorf("%s became %s, %d", text, got, d.Unix())
		}
		y, m, day := at.Date()
		if want := time.Date(y, m, day, 0, 0, 0, 0, time.UTC).Unix() / 86400; d.Day() != want {
			t.Errorf("%s is day %d, want %d", text, d.Day(), want)
		}
	}
	for _, seconds := range []int64{0, 1, 1_700_000_000, -1, -1_000_000_000} {
		if got := Date(seconds); got.Unix() != seconds || got.Time() != time.Unix(seconds, 0).UTC() {
			t.Errorf("%d became %v", seconds, got.Time())
		}
	}
}
