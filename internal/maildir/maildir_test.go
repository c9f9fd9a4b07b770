package maildir

import (
	"slices"
	"strings"
	"testing"
)

func read(text string) (l List, all []Entry) {
	for line := range strings.SplitSeq(text, "\n") {
		if e, ok := l.Line(line); ok {
			all = append(all, e)
		}
	}
	return l, all
}

func TestList(t *testing.T) {
	t.Parallel()
	l, all := read("3 V12 N5 Gabc X\n1 :one\n3 W5 S4 :three,S=4\nbad\n0 :zero\n4294967295 :last\n7 :seven:2,S\n2 a/b")
	if l.UIDValidity != 12 || l.UIDNext != 8 || len(all) != 3 || l.Lines != 7 || !slices.Equal(l.Rest, []string{"Gabc", "X"}) {
		t.Errorf("%+v %+v", l, all)
	}
	if all[1] != (Entry{3, "W5 S4", "three,S=4"}) || all[1].String() != "3 W5 S4 :three,S=4\n" || all[2].String() != "7 :seven\n" {
		t.Errorf("%+v", all)
	}
	if l, all := read("1 77 9\n1 one\n8 eight"); l.UIDValidity != 77 || l.UIDNext != 9 || len(all) != 2 {
		t.Errorf("%+v %+v", l, all)
	}
	for _, text := range []string{"", "\n", "2 x\n1 :one"} {
		if l, all := read(text); len(all) > 0 || l.UIDValidity != 0 {
			t.Errorf("%q is %+v", text, l)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][4]string{
		"1.a,S=4:2,FSab,more,x": {"1.a,S=4", ":2,FSab,more,x", "FSab", ",more,x"},
		"1.a":                   {"1.a", "", "", ""},
		"1.a:1,exp":             {"1.a", ":1,exp", "", ""},
		"1.a:2,":                {"1.a", ":2,", "", ""},
	} {
		base, info := Cut(name)
		letters, others := Info(info)
		if got := [4]string{base, info, letters, others}; got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for base, want := range map[string]int64{"1700000000.M1P2.host": 1_700_000_000, "x": 0, "": 0, "9999999999999999999.a": 999_999_999_999_999_999} {
		if got := Arrived(base); got != want {
			t.Errorf("%s arrived at %d", base, got)
		}
	}
	if got := ParseKeywords("0 a\n2 c\nx\n26 no\n-1 no\n3 torn"); !slices.Equal(got, []string{"a", "", "c"}) {
		t.Errorf("%q", got)
	}
}
