// Package wrapped finds what programs send each other by mail: the file in a message
// that carries one, or the file itself, packed or not, within bounds.
package wrapped

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"plic/internal/message"
)

// ErrNone says that a message carries nothing of the kind.
var ErrNone = errors.New("there is none in this message")

// Kind is a kind of file.
type Kind struct {
	Name  string   // for people: "a TLS report"
	Max   int      // octets, once it is unpacked
	First byte     // that an unpacked one begins with
	Types []string // of the parts of a message that carry one
}

// Read gives the file, unpacked. What it says is a stranger's.
func (k *Kind) Read(in io.Reader) ([]byte, error) {
	text, err := k.bounded(in)
	if err != nil {
		return nil, err
	}
	if packed(text) || k.begins(text) {
		return k.unpack(text)
	}
	m, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		return nil, err
	}
	var found *message.Part
	m.Walk(func(p *message.Part) bool {
		if found == nil && slices.Contains(k.Types, p.Type+"/"+p.Subtype) {
			found = p
		}
		return found == nil
	})
	if found == nil {
		return nil, fmt.Errorf("read %s: %w", k.Name, ErrNone)
	}
	body, err := k.bounded(message.DecodeBody(io.NewSectionReader(bytes.NewReader(text), found.Body, found.Size()), found.Encoding))
	if err != nil {
		return nil, err
	}
	return k.unpack(body)
}

var zipped, gzipped = []byte("PK\x03\x04"), []byte{0x1f, 0x8b}

func packed(text []byte) bool { return bytes.HasPrefix(text, zipped) || bytes.HasPrefix(text, gzipped) }

// begins says that a text is a plain file of the kind, after white space and the mark
// that some put before UTF-8.
func (k *Kind) begins(text []byte) bool {
	start := strings.TrimLeft(string(text[:min(len(text), 64)]), " \t\r\n\ufeff")
	return start != "" && start[0] == k.First
}

func (k *Kind) bounded(in io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, int64(k.Max)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k.Name, err)
	}
	if len(text) > k.Max {
		return nil, fmt.Errorf("%s may have %d octets at most", k.Name, k.Max)
	}
	return text, nil
}

// unpack gives a plain file without what stands before it.
func (k *Kind) unpack(text []byte) ([]byte, error) {
	var in io.Reader
	switch {
	case bytes.HasPrefix(text, gzipped):
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", k.Name, err)
		}
		in = z
	case bytes.HasPrefix(text, zipped):
		z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
		if err != nil || len(z.File) == 0 {
			return nil, fmt.Errorf("unpack %s: %w", k.Name, errors.Join(err, zip.ErrFormat))
		}
		f, err := z.File[0].Open()
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", k.Name, err)
		}
		defer f.Close()
		in = f
	default:
		in = bytes.NewReader(text)
	}
	plain, err := k.bounded(in)
	return bytes.TrimLeft(plain, " \t\r\n\ufeff"), err
}
