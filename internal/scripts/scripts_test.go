package scripts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/sieve"
	"plic/internal/store"
	"plic/internal/store/memory"
)

func keeper(t *testing.T) (*Keeper, *store.Account) {
	t.Helper()
	st := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { st.Close() })
	a, err := st.Account(t.Context(), "ann@plic.test")
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Store: st, Global: func(name string) (string, error) {
		if name == "site" {
			return "discard;", nil
		}
		return "", sieve.ErrNoScript
	}}), a
}

func TestScripts(t *testing.T) {
	k, a := keeper(t)
	ctx := t.Context()
	want := func(err, wanted error) {
		t.Helper()
		if !errors.Is(err, wanted) {
			t.Errorf("%v, want %v", err, wanted)
		}
	}
	if _, _, err := k.Active(ctx, a); !errors.Is(err, ErrNone) {
		t.Errorf("active at first: %v", err)
	}
	want(k.Put(ctx, a, "one", "keep;"), nil)
	want(k.Put(ctx, a, "two", `require "include"; include :personal "one"; include :global "site";`), nil)
	if err := k.Put(ctx, a, "bad", "frob;"); err == nil {
		t.Error("a broken script was kept")
	}
	want(k.Put(ctx, a, "bad\n", "keep;"), ErrName)
	want(k.Put(ctx, a, "large", strings.Repeat("#", 300<<10)), ErrTooBig)
	want(k.Activate(ctx, a, "none"), ErrNone)
	want(k.Activate(ctx, a, "one"), nil)
	want(k.Delete(ctx, a, "one"), ErrActive)
	want(k.Rename(ctx, a, "one", "two"), ErrExists)
	want(k.Rename(ctx, a, "none", "three"), ErrNone)
	want(k.Rename(ctx, a, "one", "three"), nil)
	if name, text, err := k.Active(ctx, a); name != "three" || text != "keep;" || err != nil {
		t.Errorf("active after its renaming: %q %q %v", name, text, err)
	}
	all, err := k.List(ctx, a)
	if err != nil || !slices.Equal(all, []Script{{"three", true}, {"two", false}}) {
		t.Errorf("%v %v", all, err)
	}
	want(k.Activate(ctx, a, ""), nil)
	want(k.Delete(ctx, a, "three"), nil)
	want(k.Delete(ctx, a, "three"), ErrNone)
}

func TestTooMany(t *testing.T) {
	k, a := keeper(t)
	for i := range MaxScripts {
		if err := k.Put(t.Context(), a, fmt.Sprint(i), "keep;"); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Put(t.Context(), a, "more", "keep;"); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	if err := k.Put(t.Context(), a, "0", "stop;"); err != nil {
		t.Errorf("in the place of another: %v", err)
	}
}
