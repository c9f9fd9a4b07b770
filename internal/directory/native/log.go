package native

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"time"

	"plic/internal/vfs"
)

// fileName is the log; compaction writes newName and renames it.
const (
	fileName = "directory.jsonl"
	newName  = "directory.jsonl.new"
)

const formatVersion = 1

// log is the file. Its lines are records with a checksum as their last member:
//
//	{"op":"domain","name":"plic.test",…,"crc":"1a2b3c4d"}
type log struct {
	fs     vfs.FS
	dir    string
	now    func() time.Time
	report *slog.Logger

	file    vfs.File // nil when the log must be written anew before it can grow
	size    int64
	lines   int
	damaged int // lines that were set aside
	closed  bool
}

// checksum is of Castagnoli's polynomial, which processors compute themselves.
func checksum(text []byte) uint32 {
	return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
}

// crcSize is the size of `,"crc":"1a2b3c4d"}`.
const crcSize = len(`,"crc":"`) + 8 + len(`"}`)

func encode(dst []byte, r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	text = text[:len(text)-1] // without the brace
	return append(appendCRC(append(dst, text...), text), '\n'), nil
}

func appendCRC(dst, text []byte) []byte {
	sum := binary.BigEndian.AppendUint32(nil, checksum(text))
	dst = append(dst, `,"crc":"`...)
	dst = hex.AppendEncode(dst, sum)
	return append(dst, `"}`...)
}

// decode reads a line without its end.
func decode(line []byte) (r record, err error) {
	if len(line) <= crcSize {
		return r, errors.New("too short")
	}
	text, tail := line[:len(line)-crcSize], line[len(line)-crcSize:]
	if !bytes.Equal(tail, appendCRC(nil, text)) {
		return r, errors.New("no checksum, or a wrong one")
	}
	return r, json.Unmarshal(line, &r)
}

// open reads the log into apply and leaves a clean file that can grow.
func (l *log) open(apply func(record) error, live func() []record) error {
	text, err := l.read()
	if err != nil {
		return err
	}
	var aside []byte
	fresh := text == nil
	for line := range bytes.Lines(text) {
		whole, ended := bytes.CutSuffix(line, []byte("\n"))
		r, err := decode(whole)
		if err == nil {
			err = apply(r)
		}
		switch {
		case errors.Is(err, errNewer):
			return fmt.Errorf("%s line %d: %w", fileName, l.lines+1, err)
		case err == nil:
			l.lines++
		case !ended: // torn: the change was never acknowledged
			fresh = true
		default:
			l.damaged++
			aside = append(aside, line...)
			l.report.Error("directory: a damaged line was set aside", "dir", l.dir, "line", l.lines+l.damaged, "error", err)
		}
		fresh = fresh || !ended
	}
	if l.damaged > 0 {
		if err := l.setAside(aside); err != nil {
			return err
		}
		fresh = true
	}
	if records := live(); fresh || wasteful(l.lines, len(records)) {
		return l.rewrite(records)
	}
	return l.reopen(int64(len(text)))
}

func (l *log) read() ([]byte, error) {
	f, err := l.fs.Open(l.path(fileName))
	if vfs.NotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, info.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileName, err)
	}
	return text, nil
}

// wasteful: more than half of the file is of the past.
func wasteful(lines, live int) bool { return lines > 64 && lines > 2*(live+1) }

// setAside keeps the bytes that could not be read.
func (l *log) setAside(lines []byte) error {
	name := "directory-damaged-" + l.now().UTC().Format("20060102T150405.000000000") + ".jsonl"
	if err := l.write(name, lines); err != nil {
		return fmt.Errorf("set damaged lines aside: %w", err)
	}
	return vfs.SyncDir(l.fs, l.dir)
}

// write makes a whole file and syncs it.
func (l *log) write(name string, text []byte) error {
	f, err := l.fs.Create(l.path(name), vfs.Mail)
	if err != nil {
		return err
	}
	if err = vfs.Private(f); err == nil { // it holds what passwords can be guessed from
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// rewrite puts a new file with these records in the place of the old one.
func (l *log) rewrite(records []record) error {
	text, err := encode(nil, record{Op: opFormat, Version: formatVersion})
	for _, r := range records {
		if err == nil {
			text, err = encode(text, r)
		}
	}
	if err != nil {
		return err
	}
	size := int64(len(text)) // Write may change what it is given, but not how much
	l.drop()
	if err := l.write(newName, text); err != nil {
		return err
	}
	if err := l.fs.Rename(l.path(newName), l.path(fileName)); err != nil {
		return err
	}
	if err := vfs.SyncDir(l.fs, l.dir); err != nil {
		return err
	}
	l.lines = len(records) + 1
	return l.reopen(size)
}

func (l *log) reopen(size int64) error {
	f, err := l.fs.OpenReadWrite(l.path(fileName), vfs.Mail)
	if err != nil {
		return err
	}
	l.file, l.size = f, size
	return nil
}

// append makes a record durable. After an error nothing is known of the file's
// end, and a sync must not be tried twice: the next change writes it anew.
func (l *log) append(r record, live func() []record) error {
	if l.closed {
		return errors.New("the directory is closed")
	}
	if l.file == nil {
		if err := l.rewrite(live()); err != nil {
			return fmt.Errorf("write the directory anew: %w", err)
		}
	}
	line, err := encode(nil, r)
	if err != nil {
		return err
	}
	size := int64(len(line))
	if _, err = l.file.WriteAt(line, l.size); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.drop()
		return fmt.Errorf("write the directory: %w", err)
	}
	l.size += size
	l.lines++
	return nil
}

// compact writes the file anew if most of it is of the past. It may fail: the
// change before it is durable, and the next one tries again.
func (l *log) compact(size int, live func() []record) {
	if !wasteful(l.lines, size) {
		return
	}
	if err := l.rewrite(live()); err != nil {
		l.report.Error("directory: not compacted", "dir", l.dir, "error", err)
	}
}

func (l *log) drop() {
	if l.file != nil {
		l.file.Close() // nothing unsynced that matters
		l.file = nil
	}
}

func (l *log) close() error {
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *log) path(name string) string { return l.fs.PathJoin(l.dir, name) }
