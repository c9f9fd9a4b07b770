package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A line of JSON shows all that is in it, and is still the same value.
func TestJSONLinesAreVisible(t *testing.T) {
	t.Parallel()
	const evil = "ü \x1b[31m \x7f \u009b2J \u202emoc.live \u2028 \U000e0041 <&>"
	var out strings.Builder
	err := jsonLines(&out, func(yield func(string, error) bool) { yield(evil, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if want := `"ü \u001b[31m \u007f \u009b2J \u202emoc.live \u2028 \udb40\udc41 <&>"` + "\n"; out.String() != want {
		t.Errorf("%s, not %s", out.String(), want)
	}
	var back string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != evil {
		t.Errorf("%q, %v", back, err)
	}
}
