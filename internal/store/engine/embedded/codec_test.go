package embedded

import (
	"bytes"
	"errors"
	"testing"
	"time"

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
	detail := engine.Detail{Prefix: []byte("p"), Summary: []byte("summary")}
	item := mail.Item{ID: id, Body: mail.ID{9}, Prefix: []byte("x")}
	small := location{place: place{4, 1 << 40}, size: 100, sum: 1 << 31}
	large := location{size: 3*blockSize - 1, blocks: []uint32{1, 2, 3}}
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
		"segment": decodes(numberKey(kindSegment, 1), encodeSegment(numberKey(kindSegment, 1), &segment), decodeSegment,
			func(k []byte, s segmentInfo) []byte { return encodeSegment(k, &s) }),
		"number": decodes(nameKey("x"), encodeNumber(nameKey("x"), 1<<63), decodeNumber, encodeNumber),
	}
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
		decodeGone(key, record)
		redoPlace(key)
		suspectOf(key)
		graveOf(key)
		ownerOf(key)
		_ = describe(append(key, 0))
	})
}

// FuzzFrame gives any octets to the decoder of frames.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, mail.ID{1}, []byte("Subject: x\r\n\r\nbody\r\n")))
	f.Add(appendFrame(nil, mail.ID{}, nil))
	f.Add([]byte(frameMagic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, body, err := openFrame(raw)
		if err != nil {
			if !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			return
		}
		if again := appendFrame(nil, head.id, body); !bytes.Equal(again, raw) {
			t.Errorf("%x became %x", raw, again)
		}
	})
}
