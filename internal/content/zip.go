package content

import (
	"bytes"
	"encoding/binary"
)

// maxInner is how many names of an archive are read.
const maxInner = 500

// zipNames are the names in the central directory of a zip archive, which is where
// programs look, and whether one of the files needs a password. Of an archive that
// is broken it gives what can be read.
func zipNames(all []byte) (names []string, locked bool) {
	const endSize, entrySize = 22, 46
	end := bytes.LastIndex(all, []byte("PK\x05\x06"))
	if end < 0 || end+endSize > len(all) {
		return nil, false
	}
	at := int64(binary.LittleEndian.Uint32(all[end+16:]))
	if at >= int64(len(all)) || !bytes.HasPrefix(all[at:], []byte("PK\x01\x02")) { // something stands before the archive
		at = int64(end) - int64(binary.LittleEndian.Uint32(all[end+12:]))
	}
	for range maxInner {
		if at < 0 || at+entrySize > int64(len(all)) || !bytes.HasPrefix(all[at:], []byte("PK\x01\x02")) {
			break
		}
		entry := all[at:]
		name := int(binary.LittleEndian.Uint16(entry[28:]))
		rest := int(binary.LittleEndian.Uint16(entry[30:])) + int(binary.LittleEndian.Uint16(entry[32:]))
		if entrySize+name > len(entry) {
			break
		}
		locked = locked || entry[8]&1 != 0
		names = append(names, string(entry[entrySize:entrySize+name]))
		at += int64(entrySize + name + rest)
	}
	return names, locked
}
