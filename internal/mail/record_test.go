package mail

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// filled gives every field below v a value of its own, so that none is forgotten
// when the type gets another.
func filled(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Unix(1_800_000_000+int64(*n), int64(*n)).UTC()
		return
	case *netip.AddrPort:
		*at = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1%eth0"), uint16(*n))
		return
	case *Domain:
		at.name = "d" + string(rune('a'+*n%26)) + ".test"
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			filled(t, v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		filled(t, v.Index(0), n)
		filled(t, v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			filled(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString("text " + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int8:
		v.SetInt(int64(*n % 100))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(*n % 200))
	default:
		t.Fatalf("a field of kind %v: teach the record and this test of it", v.Kind())
	}
}

// TestItemRecord: a record holds every field of an item.
func TestItemRecord(t *testing.T) {
	t.Parallel()
	var full, empty Item
	n := 0
	filled(t, reflect.ValueOf(&full).Elem(), &n)
	local := Item{Due: time.Now().Round(0), Prefix: []byte("X: y\r\n"), To: []ItemRcpt{{}}}
	for _, want := range []Item{full, empty, local} {
		record, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Item
		if err := got.UnmarshalBinary(record); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		for cut := range record {
			if err := got.UnmarshalBinary(record[:cut]); err == nil {
				t.Fatalf("%d of %d octets are a record", cut, len(record))
			}
		}
		if got.UnmarshalBinary(append(record, 0)) == nil {
			t.Error("an octet more is a record")
		}
	}
}

// FuzzItemRecord: whatever there is, it is a record that is written as it was read
// or none.
func FuzzItemRecord(f *testing.F) {
	item := relayed()
	record, _ := item.AppendBinary(nil)
	f.Add(record)
	f.Add([]byte{itemRecord})
	f.Fuzz(func(t *testing.T, record []byte) {
		var first, second Item
		if first.UnmarshalBinary(record) != nil {
			return
		}
		again, err := first.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%v\n%+v\n%+v", err, first, second)
		}
	})
}

// relayed is an item as most are.
func relayed() Item {
	now := time.Unix(1_800_000_000, 123456789)
	item := Item{
		ID: NewID(now), Body: NewID(now), Size: 2345, Hop: Hop{Kind: HopRemote, Host: "example.net"}, Attempts: 2,
		Due: now, Expires: now.Add(5 * 24 * time.Hour),
		Prefix: []byte("Received: from load.sender.test (load.sender.test [192.0.2.1])\r\n\tby mx.local.test with ESMTP id 0123456789abcdefghij\r\n\tfor <bob@example.net>; Mon, 23 Nov 2026 10:00:00 +0000\r\n"),
		To: []ItemRcpt{{
			Recipient: Recipient{Address: MustAddress("bob@example.net")}, Last: Reply(450, "4.2.0", "greylisted, come again"),
			Host: "mx.example.net", Fault: FaultGreylist, At: now,
		}},
	}
	item.Envelope = Envelope{ID: NewID(now), From: MustAddress("ann@example.org"), Kind: Body8Bit, Received: now, Origin: Origin{
		Conn: NewID(now), Service: "smtp", Protocol: "ESMTP", Helo: "load.sender.test",
		Remote: netip.MustParseAddrPort("192.0.2.1:40000"), Local: netip.MustParseAddrPort("192.0.2.2:25"),
	}}
	item.Tried(Try{At: now, Took: time.Second, Number: 1, To: 1, Host: "mx.example.net", Status: item.To[0].Last, Fault: FaultGreylist})
	return item
}

func BenchmarkItem(b *testing.B) {
	item := relayed()
	record, _ := item.AppendBinary(nil)
	text, err := json.Marshal(&item)
	if err != nil {
		b.Fatal(err)
	}
	var got Item
	b.Run("write record", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(record)), "octets")
		for b.Loop() {
			item.AppendBinary(record[:0])
		}
	})
	b.Run("read record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			got.UnmarshalBinary(record)
		}
	})
	b.Run("write JSON", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(text)), "octets")
		for b.Loop() {
			json.Marshal(&item)
		}
	})
	b.Run("read JSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			json.Unmarshal(text, &got)
		}
	})
}
