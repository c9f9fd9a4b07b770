package maildir

import (
	"bufio"
	"bytes"
)

// lineCounter counts LF.
type lineCounter struct{ n int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += int64(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}

// unixLines writes LF for each CRLF.
type unixLines struct {
	w  *bufio.Writer
	cr bool // one that is not written yet
}

func (u *unixLines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if u.cr {
			u.cr = false
			if p[0] != '\n' {
				u.w.WriteByte('\r')
			}
		}
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			u.w.Write(p)
			break
		}
		u.w.Write(p[:i])
		u.cr, p = true, p[i+1:]
	}
	return n, nil
}

// flush writes what was held back; errors of before come with it.
func (u *unixLines) flush() error {
	if u.cr {
		u.cr = false
		return u.w.WriteByte('\r')
	}
	return nil
}
