package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// samples are records of all kinds, each with its decoder and encoder.
func samples() map[string]sample {
	id := mail.ID{1, 2, 3}
	now := time.Unix(1_800_000_000, 5)
	account := engine.Account{ID: 1 << 50, Name: "ü@example.org", NextMailbox: 7, NextUIDValidity: 1 << 31, Created: now}
	mailbox := engine.Mailbox{ID: 3, Name: "a/b", UIDNext: 9, Keywords: []string{"$x", ""}, Subscribed: true, Bytes: 1 << 60, Created: now, ExpungedSince: 7, ExpungedCount: 3}
	entry := engine.Entry{UID: 8, ModSeq: 1 << 63, Flags: 5, Size: 1, Internal: -1, Saved: 2, Body: id}
	second := engine.Entry{UID: 1 << 31, ModSeq: 1 << 63, Flags: 5, Size: 1 << 40, Internal: 1 << 40, Saved: -2, Body: mail.ID{7}}
	change := engine.MailboxChange{
		Add: []engine.Message{{Entry: entry}, {Entry: second}}, Expunge: []engine.UID{2, 3},
		Update: []engine.Entry{{UID: 1, Flags: 3, ModSeq: 4}, {UID: 9, Flags: 3, ModSeq: 4}, {UID: 10, Flags: 4, ModSeq: 4}},
	}
	detail := engine.Detail{Prefix: []byte("p"), Summary: []byte("summary")}
	item := mail.Item{ID: id, Body: mail.ID{9}, Prefix: []byte("x")}
	small := location{place: place{4, 1 << 40}, size: 100, stored: 100, sum: 1 << 31}
	packedSmall := location{place: place{4, 1 << 40}, size: 1000, stored: 100, sum: 1 << 31, packed: true}
	large := location{size: 3*blockSize - 1, blocks: []block{{1, blockSize}, {2, blockSize}, {3, blockSize - 1}}}
	packedLarge := location{size: 3*blockSize - 1, blocks: []block{{1, 50}, {2, blockSize}, {3, 7}}, packed: true}
	segment := segmentInfo{size: 1 << 33, dead: 77}
	entryAt := messageKey(1, partEntry, 2, 8)
	itemAt := idKey(kindItem, id)
	itemRecord, _ := encodeItem(itemAt, &item)
	return map[string]sample{
		"account": decodes(partKey(1, partRecord), encodeAccount(partKey(1, partRecord), &account), decodeAccount,
			func(k []byte, a engine.Account) []byte { return encodeAccount(k, &a) }),
		"mailbox": decodes(mailboxKey(1, partMailbox, 3), encodeMailbox(mailboxKey(1, partMailbox, 3), &mailbox), decodeMailbox,
			func(k []byte, m engine.Mailbox) []byte { return encodeMailbox(k, &m) }),
		"entry": decodes(entryAt, encodeEntry(nil, entryAt, &entry), decodeEntry,
			func(k []byte, e engine.Entry) []byte { return encodeEntry(nil, k, &e) }),
		"page": decodes(pageKey(1, 2, 8), encodePage(pageKey(1, 2, 8), []engine.Entry{entry, second}), decodePage,
			func(k []byte, list []engine.Entry) []byte { return encodePage(k, list) }),
		"rest": decodes(restKey(1, 2, 8), encodeRest(restKey(1, 2, 8), []engine.Entry{entry, second}),
			func(k, record []byte) ([]engine.Entry, error) {
				list := make([]engine.Entry, 2)
				return list, decodeRest(list, k, record)
			},
			func(k []byte, list []engine.Entry) []byte { return encodeRest(k, list) }),
		"log": decodes(logKey(1, 2, 3), encodeChange(logKey(1, 2, 3), &change), decodeChange,
			func(k []byte, c indexChange) []byte { return encodeChange(k, mailboxChange(c)) }),
		"gone": decodes(goneKey(1, 2, 3, 4), encodeGone(goneKey(1, 2, 3, 4), []engine.UID{4, 5, 900}), decodeGone,
			func(k []byte, x expunged) []byte { return encodeGone(k, x.uids) }),
		"detail": decodes(entryAt, encodeDetail(nil, entryAt, &detail), decodeDetail,
			func(k []byte, d engine.Detail) []byte { return encodeDetail(nil, k, &d) }),
		"item": decodes(itemAt, itemRecord, decodeItem,
			func(k []byte, i mail.Item) []byte { b, _ := encodeItem(k, &i); return b }),
		"note": decodes(noteKey(1, 2, "a/b"), encodeNote(noteKey(1, 2, "a/b"), []byte("value")), decodeNote,
			func(k []byte, n engine.Note) []byte { return encodeNote(k, n.Value) }),
		"small": decodes(idKey(kindLocation, id), encodeLocation(idKey(kindLocation, id), &small), decodeLocation,
			func(k []byte, l location) []byte { return encodeLocation(k, &l) }),
		"large": decodes(idKey(kindLocation, id), encodeLocation(idKey(kindLocation, id), &large), decodeLocation,
			func(k []byte, l location) []byte { return encodeLocation(k, &l) }),
		"packed small": decodes(idKey(kindLocation, id), encodeLocation(idKey(kindLocation, id), &packedSmall), decodeLocation,
			func(k []byte, l location) []byte { return encodeLocation(k, &l) }),
		"packed large": decodes(idKey(kindLocation, id), encodeLocation(idKey(kindLocation, id), &packedLarge), decodeLocation,
			func(k []byte, l location) []byte { return encodeLocation(k, &l) }),
		"segment": decodes(numberKey(kindSegment, 1), encodeSegment(numberKey(kindSegment, 1), &segment), decodeSegment,
			func(k []byte, s segmentInfo) []byte { return encodeSegment(k, &s) }),
		"number": decodes(nameKey("x"), encodeNumber(nameKey("x"), 1<<63), decodeNumber, encodeNumber),
	}
}

// mailboxChange is what a record of the log was made of.
func mailboxChange(c indexChange) *engine.MailboxChange {
	m := &engine.MailboxChange{Update: c.update, Expunge: c.gone}
	for _, e := range c.add {
		m.Add = append(m.Add, engine.Message{Entry: e})
	}
	return m
}

// encodeEntry writes an entry's record of format 1.
func encodeEntry(b, key []byte, e *engine.Entry) []byte {
	start := len(b)
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.ModSeq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Flags))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Internal))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Saved))
	b = append(b, e.Body[:]...)
	return binary.BigEndian.AppendUint32(b, checksum(key, b[start:]))
}

type sample struct {
	key, record []byte
	again       func(key, record []byte) ([]byte, error) // decode, then encode
}

func decodes[T any](key, record []byte, decode func(key, record []byte) (T, error), encode func(key []byte, v T) []byte) sample {
	return sample{key, record, func(key, record []byte) ([]byte, error) {
		v, err := decode(key, record)
		if err != nil {
			return nil, err
		}
		return encode(key, v), nil
	}}
}

// TestRecords: what is decoded is what was encoded, and no other octets pass
// for it: none flipped, none cut, none added, no other key.
func TestRecords(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		if again, err := s.again(s.key, s.record); err != nil || !bytes.Equal(again, s.record) {
			t.Errorf("%s: %x became %x, %v", name, s.record, again, err)
		}
		broken := func(what string, key, record []byte) {
			t.Helper()
			if _, err := s.again(key, record); !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%s, %s: %v, want ErrDamaged", name, what, err)
			}
		}
		for at := range s.record {
			flipped := bytes.Clone(s.record)
			flipped[at] ^= 1 << (at % 8)
			broken("flipped", s.key, flipped)
			broken("cut", s.key, s.record[:at])
		}
		broken("longer", s.key, append(bytes.Clone(s.record), 0))
		broken("other key", append(bytes.Clone(s.key), 0), s.record)
		broken("other version", s.key, seal(s.key, append([]byte{recordVersion + 1}, s.record[1:len(s.record)-4]...)))
	}
}

// FuzzRecord gives any octets to every decoder, with a checksum that fits.
func FuzzRecord(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.key, s.record[1:len(s.record)-checksumSize])
	}
	f.Add([]byte{}, []byte{})
	f.Add([]byte("k"), bytes.Repeat([]byte{0xff}, 30))
	f.Fuzz(func(t *testing.T, key, octets []byte) {
		record := seal(key, append([]byte{recordVersion}, octets...))
		for name, s := range samples() {
			again, err := s.again(key, record)
			if err != nil {
				if !errors.Is(err, engine.ErrDamaged) {
					t.Errorf("%s: %v, want ErrDamaged", name, err)
				}
				continue
			}
			if name == "entry" || name == "segment" || name == "number" {
				if twice, err := s.again(key, again); err != nil || !bytes.Equal(twice, again) {
					t.Errorf("%s: %x became %x, %v", name, again, twice, err)
				}
			}
		}
		suspectsOf(key, octets)
		redoPlace(key)
		graveOf(key)
		ownerOf(key)
		_ = describe(append(key, 0))
	})
}

// FuzzFrame gives any octets to the decoder of frames.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, mail.ID{1}, []byte("Subject: x\r\n\r\nbody\r\n"), false))
	f.Add(appendFrame(nil, mail.ID{}, nil, true))
	f.Add([]byte(frameMagic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, body, err := openFrame(raw)
		if err != nil {
			if !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			return
		}
		if again := appendFrame(nil, head.id, body, head.packed); !bytes.Equal(again, raw) {
			t.Errorf("%x became %x", raw, again)
		}
	})
}

// TestUnpackWhatWasPackedBefore reads bodies as earlier versions wrote them:
// short ones by zstd without codes.
func TestUnpackWhatWasPackedBefore(t *testing.T) {
	t.Parallel()
	p, err := newPacker(&Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	old, err := zstd.NewWriter(nil, zstd.WithNoEntropyCompression(true), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	for n := packLeast; n <= 2*packShort; n += 40 {
		raw := bytes.Repeat([]byte("All work and no play.\r\n"), n/23+1)[:n]
		now, ok := p.pack(nil, raw)
		if !ok {
			t.Fatalf("%d octets gain nothing", n)
		}
		for _, packed := range [][]byte{now, old.EncodeAll(raw, nil)} {
			if size, err := packedSize(packed); err != nil || size != int64(n) {
				t.Errorf("%d octets: size %d, %v", n, size, err)
			}
			got, err := p.unpack(nil, packed, int64(n))
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%d octets: %d octets, %v", n, len(got), err)
			}
			if _, err := p.unpack(nil, packed, int64(n+1)); !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%d octets taken for more: %v", n, err)
			}
			if _, err := p.unpack(nil, packed[:len(packed)-1], int64(n)); !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%d octets cut: %v", n, err)
			}
		}
	}
}

// TestItemsInJSON: items of stores up to format 3 are read.
func TestItemsInJSON(t *testing.T) {
	t.Parallel()
	want := mail.Item{ID: mail.ID{1, 2}, Body: mail.ID{9}, Prefix: []byte("x"), Hop: mail.Hop{Kind: mail.HopRemote, Host: "b.test"}, Attempts: 3,
		Due: time.Unix(1_800_000_000, 5).UTC(), To: []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress("bob@b.test")}}}}
	text, err := json.Marshal(&want)
	if err != nil {
		t.Fatal(err)
	}
	key := idKey(kindItem, want.ID)
	got, err := decodeItem(key, seal(key, append(append([]byte{recordVersion}, want.Body[:]...), text...)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

// TestDetailSize: a batch makes just the room that a detail takes.
func TestDetailSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 1 << 14, 1 << 21} {
		d := engine.Detail{Prefix: make([]byte, n), Summary: make([]byte, 3)}
		if want := len(encodeDetail(nil, nil, &d)); detailSize(&d) != want {
			t.Errorf("a prefix of %d octets: %d, want %d", n, detailSize(&d), want)
		}
	}
}
