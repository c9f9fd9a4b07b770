package moving

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzCyrus reads files of Cyrus that hold anything.
func FuzzCyrus(f *testing.F) {
	f.Add([]byte("\xa1\x02\x8b\x0dCyrus mailbox header\n\"goals\"\n\t--Jim\n%(T e N user.ann.Sent I abc A %(ann lrs) U ($Forwarded NIL \"a b\" {3+}\r\nx y))\n"))
	f.Add([]byte("a\nb\nc\nuser.ann\tid\n$Forwarded work\nann\tlrs\n"))
	annotations, err := os.ReadFile("testdata/annotations.db")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(annotations)
	f.Add(endless(annotations))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for _, name := range []string{"cyrus.header", "cyrus.index", "annotations.db"} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if h, err := readCyrusHeader(root, "."); err == nil {
			h.user()
		}
		_, _ = (&cyrusBox{root: root, dir: "."}).index()           // it must only come back
		_, _ = readCyrusUses(filepath.Join(dir, "annotations.db")) // likewise
	})
}

// endless is such a file whose first record was removed and leads to where no file ends.
func endless(annotations []byte) []byte {
	text := slices.Clone(annotations)
	text[64] = '-'
	binary.BigEndian.PutUint64(text[72:], math.MaxUint64-7)
	return text
}

// TestCyrusDamaged reads files that lead out of themselves, or out of the spool.
func TestCyrusDamaged(t *testing.T) {
	t.Parallel()
	annotations, err := os.ReadFile("testdata/annotations.db")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "annotations.db"), endless(annotations), 0o600); err != nil {
		t.Fatal(err)
	}
	if uses, err := readCyrusUses(filepath.Join(dir, "annotations.db")); err == nil {
		t.Errorf("read %v", uses)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, id := range []string{"../../etc", `..\\etc`, ".."} {
		if err := os.WriteFile(filepath.Join(dir, "cyrus.header"), []byte("a\nb\nc\n%(T e N user.ann I \""+id+"\" U ())\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, err := readCyrusHeader(root, "."); err == nil {
			t.Errorf("%q is the number of a mailbox", h.id)
		}
	}
}

// TestCyrusUses reads a file that Cyrus 3.6 has written.
func TestCyrusUses(t *testing.T) {
	t.Parallel()
	uses, err := readCyrusUses("testdata/annotations.db")
	if err != nil || len(uses) != 2 || uses["7eyy0fq90b9imx6nlwck2imn"] != `\Sent` || uses["eck929qtiofgu2hru1tdogfu"] != `\Drafts` {
		t.Errorf("%v %v", uses, err)
	}
}
