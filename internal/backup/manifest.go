package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"plic/internal/vfs"
)

const manifestVersion = 1

// head is the first line of a manifest.
type head struct {
	Version int       `json:"plic_backup"`
	Made    time.Time `json:"made"`
	From    string    `json:"from"`
}

// entry is a line of a manifest: a file.
type entry struct {
	Name     string    `json:"file"`
	Size     int64     `json:"size"`
	Sum      string    `json:"sha256"`
	Readable bool      `json:"readable,omitempty"` // by others
	Source   int64     `json:"source"`             // size of what was copied
	Changed  time.Time `json:"changed"`            // when that was written to
}

// tail is the last line of a manifest: it is whole.
type tail struct {
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Sum   string `json:"sha256"` // of the lines before
}

// manifest is one that was read.
type manifest struct {
	path  string
	head  head
	files []entry
	bytes int64
}

func (m *manifest) backup() Backup {
	return Backup{Path: m.path, Made: m.head.Made, From: m.head.From, Files: len(m.files), Bytes: m.bytes}
}

var errCut = errors.New("the manifest is cut short or was changed")

// readManifest reads the manifest of a complete backup.
func readManifest(on vfs.FS, dir string) (*manifest, error) {
	m, whole, err := parseManifest(on, dir)
	if err == nil && !whole {
		err = errCut
	}
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", dir, err)
	}
	return m, nil
}

// parseManifest reads as much of a manifest as there is.
func parseManifest(on vfs.FS, dir string) (m *manifest, whole bool, err error) {
	f, err := on.Open(on.PathJoin(dir, manifestName))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	m = &manifest{path: dir}
	sum := sha256.New()
	r := bufio.NewReader(f)
	for first := true; ; first = false {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return m, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		var e entry
		switch {
		case first:
			if json.Unmarshal(line, &m.head) != nil || m.head.Version != manifestVersion {
				return nil, false, fmt.Errorf("manifest of version %d, know %d", m.head.Version, manifestVersion)
			}
		case bytes.HasPrefix(line, []byte(`{"files":`)):
			var end tail
			if json.Unmarshal(line, &end) != nil || end.Sum != hex.EncodeToString(sum.Sum(nil)) || end.Files != len(m.files) {
				return m, false, nil
			}
			return m, true, nil
		case json.Unmarshal(line, &e) != nil || !inside(e.Name):
			return m, false, nil
		default:
			m.files = append(m.files, e)
			m.bytes += e.Size
		}
		sum.Write(line)
	}
}

// inside says that a name leads to no place outside of its directory.
func inside(name string) bool {
	return name != "" && path.Clean(name) == name && !strings.HasPrefix(name, "/") && name != ".." && !strings.HasPrefix(name, "../")
}

// writer writes a manifest line by line.
type writer struct {
	file  vfs.File
	all   hash.Hash
	write io.Writer
	files int
	bytes int64
}

func newWriter(f vfs.File, h head) (*writer, error) {
	sum := sha256.New()
	w := &writer{file: f, all: sum, write: io.MultiWriter(f, sum)}
	return w, w.line(w.write, h)
}

func (w *writer) line(to io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = to.Write(append(text, '\n'))
	return err
}

func (w *writer) add(e entry) error {
	w.files++
	w.bytes += e.Size
	return w.line(w.write, e)
}

// end makes the manifest whole and durable.
func (w *writer) end() error {
	if err := w.line(w.file, tail{w.files, w.bytes, hex.EncodeToString(w.all.Sum(nil))}); err != nil {
		return err
	}
	return w.file.Sync()
}
