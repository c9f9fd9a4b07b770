package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// checkVersion refuses records of a newer Pebble, which are not damaged: to make them
// anew of what can be read would leave most behind.
func (e *Engine) checkVersion() error {
	text, err := atomicfs.ReadMarker(e.fs, e.records, versionMarker)
	if err != nil {
		return nil // Pebble will say what it is
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > uint64(pebble.FormatNewest) {
		return fmt.Errorf("written by a newer program: format %d of Pebble, this one knows %d", n, pebble.FormatNewest)
	}
	return nil
}

// checkManifest looks whether the file that says of which tables the records
// consist is whole. Pebble takes damage within it for its end, and would remove
// the tables that it names after that.
func (e *Engine) checkManifest() error {
	name, err := atomicfs.ReadMarker(e.fs, e.records, manifestMarker)
	if err != nil || name == "" {
		return err
	}
	f, err := e.fs.Open(e.fs.PathJoin(e.records, name))
	if err != nil {
		return err
	}
	defer f.Close()
	r := record.NewReader(f, 0)
	for whole := int64(0); ; whole = r.Offset() {
		next, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, next)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case record.IsInvalidRecord(err):
			return damagedAt(f, name, whole)
		case err != nil:
			return err
		}
	}
}

// damagedAt is an error if what follows a place in a manifest is more than a
// record that a crash has cut short. Such a one is the last, since each is on the
// disk before the next begins, and ends before its length or with zeros.
func damagedAt(f io.ReaderAt, name string, from int64) error {
	rest, err := io.ReadAll(io.NewSectionReader(f, from, 1<<30))
	if err != nil {
		return err
	}
	if left := int(chunkBlock - from%chunkBlock); left < chunkHead {
		rest = rest[min(left, len(rest)):] // no head fits there
	}
	damaged := len(rest) >= chunkHead && chunkHead+length(rest) <= len(rest) && rest[len(rest)-1] != 0
	for at := 1; at+chunkHead <= len(rest) && !damaged; at++ {
		damaged = startsRecord(rest[at:])
	}
	if damaged {
		return fmt.Errorf("%s is damaged at %d", name, from)
	}
	return nil
}

// Pebble's files of records are of chunks: checksum, length, kind, content.
const (
	chunkHead  = 4 + 2 + 1
	chunkBlock = 32 << 10 // no chunk reaches from one of these into the next
	chunkFull  = 1        // a record by itself
	chunkFirst = 2        // the first part of one
)

func length(chunk []byte) int { return int(binary.LittleEndian.Uint16(chunk[4:])) }

// startsRecord says that a chunk which begins a record stands there, whole.
func startsRecord(b []byte) bool {
	n := chunkHead + length(b)
	if b[6] != chunkFull && b[6] != chunkFirst || n > len(b) || n == chunkHead {
		return false
	}
	return binary.LittleEndian.Uint32(b) == chunkSum(b[6:n])
}

// chunkSum is the checksum of a chunk, which is given from its kind on.
func chunkSum(b []byte) uint32 {
	return bits.RotateLeft32(crc32.Checksum(b, castagnoli), 17) + 0xa282ead8
}
