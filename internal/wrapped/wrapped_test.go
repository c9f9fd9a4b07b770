package wrapped

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func kind() *Kind {
	return &Kind{Name: "a list", Max: 4096, First: '[', Types: []string{"application/gzip", "application/zip", "application/json"}}
}

func gzipOf(t testing.TB, text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipOf(t testing.TB, text string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A file is found in every wrapping.
func TestRead(t *testing.T) {
	t.Parallel()
	const list = "[1, 2]"
	letter := func(kind, body string) string {
		return "From: a@b.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n[text]\r\n--b\r\nContent-Type: " + kind +
			"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(body)) + "\r\n--b--\r\n"
	}
	for name, text := range map[string]string{
		"plain": list, "after a mark": "\ufeff\r\n " + list, "gzip": gzipOf(t, list), "zip": zipOf(t, list),
		"mail": letter("application/json", list), "mail, gzip": letter("application/gzip", gzipOf(t, list)), "mail, called the wrong thing": letter("application/gzip", zipOf(t, list)),
	} {
		got, err := kind().Read(strings.NewReader(text))
		if err != nil || string(got) != list {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// K7: what is too large, packed or not, broken, or not there is refused within bounds.
func TestRefused(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat("[", 1<<20)
	for name, text := range map[string]string{
		"too large": bomb[:4097], "a bomb": gzipOf(t, bomb), "a bomb in zip": zipOf(t, bomb), "broken": "\x1f\x8bnonsense", "broken zip": "PK\x03\x04nonsense",
		"cut off": gzipOf(t, "[1, 2]")[:20],
	} {
		if got, err := kind().Read(strings.NewReader(text)); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%s is %.40q, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "other mail": "Subject: x\r\n\r\n[1]\r\n"} {
		if got, err := kind().Read(strings.NewReader(text)); !errors.Is(err, ErrNone) {
			t.Errorf("%s is %.40q, %v", name, got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("[1]"))
	f.Add([]byte(gzipOf(f, "[1]")))
	f.Add([]byte("Content-Type: application/json\r\n\r\n[1]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := kind().Read(bytes.NewReader(text)); err == nil && len(got) > kind().Max {
			t.Errorf("%d octets", len(got))
		}
	})
}
