package storetest_test

import (
	"testing"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded"
	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

func embeddedPlace(t testing.TB) storetest.Place {
	fs := vfs.NewMemory()
	return func() engine.Engine { return openEmbedded(t, fs) }
}

func openEmbedded(t testing.TB, fs vfs.FS) engine.Engine {
	t.Helper()
	e, err := embedded.Open(t.Context(), embedded.Options{FS: fs, Dir: "store", Ballast: -1, Reserve: -1, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmbedded(t *testing.T) { storetest.Run(t, embeddedPlace) }
