package store_test

import (
	"testing"
	"time"

	"plic/internal/store/engine"
	"plic/internal/store/memory"
	"plic/internal/store/storetest"
)

func inMemory(testing.TB) storetest.Place {
	e := memory.New(time.Now)
	return func() engine.Engine {
		e.Reopen()
		return e
	}
}

func TestMemory(t *testing.T) { storetest.Run(t, inMemory) }

func BenchmarkMemory(b *testing.B) { storetest.Bench(b, inMemory) }
