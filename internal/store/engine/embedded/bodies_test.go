package embedded

import (
	"bytes"
	"testing"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// A body that was opened with others gives its buffer back once, however often it is
// closed, and is not read from then on: the buffer may be another's.
func TestBodyIsLentOnce(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), Options{FS: vfs.NewMemory(), Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var ids []mail.ID
	texts := [][]byte{{}, []byte("short"), bytes.Repeat([]byte("abc "), 1000), content(7, 5000), content(9, 100_000)}
	batch := &engine.Batch{}
	for _, text := range texts {
		w, err := e.NewBody(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Write(text)
		ids, batch.Bodies = append(ids, w.ID()), append(batch.Bodies, w)
	}
	apply(t, e, batch)
	for range 20 {
		i := 0
		for first, err := range e.OpenBodies(t.Context(), ids) {
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
			first.Close()
			if n, err := first.ReadAt(make([]byte, 1), 0); n != 0 || err == nil {
				t.Fatalf("body %d is read after it was closed", i)
			}
			var open []mail.Body
			for body, err := range e.OpenBodies(t.Context(), ids) {
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, body)
			}
			for k, body := range open {
				got := make([]byte, body.Size())
				if body.ReadAt(got, 0); !bytes.Equal(got, texts[k]) {
					t.Fatalf("body %d is another's", k)
				}
				body.Close()
			}
			i++
		}
	}
}
