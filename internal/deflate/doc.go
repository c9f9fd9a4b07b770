// Package deflate compresses a connection as it flows, RFC 1951 without a
// wrapper. A sender loses nothing by waiting: all that a peer has flushed can be
// read, however it flushes, and what is written goes out whole. It is made for
// many connections that mostly rest: a Reader keeps what back references may
// name, at most 32 KiB and no more than was sent, and a Writer at most 8 KiB.
package deflate

import "net"

// Conn is a connection that is compressed both ways.
type Conn struct {
	net.Conn
	r *Reader
	w *Writer
}

// NewConn compresses a connection from here on.
func NewConn(nc net.Conn) *Conn { return &Conn{nc, NewReader(nc), NewWriter(nc)} }

// Read gives what the other end has written.
func (c *Conn) Read(p []byte) (int, error) { return c.r.Read(p) }

// Write sends p compressed, and all of it.
func (c *Conn) Write(p []byte) (int, error) { return c.w.Write(p) }

// Rest gives memory back that only makes the compression better.
func (c *Conn) Rest() { c.w.Rest() }
