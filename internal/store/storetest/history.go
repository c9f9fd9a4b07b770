package storetest

import "testing"

func testHistory(t *testing.T, place NewPlace, seed uint64) {}
