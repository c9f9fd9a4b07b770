package main

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
)

// scripted is a server that says what a test wants: answer gets each line, with
// the literals in it, and gives what is said to it. It ends the connection after
// an answer that is "".
func scripted(t *testing.T, greeting string, answer func(line string) string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				conn.Write([]byte(greeting))
				for {
					line, err := command(r)
					if err != nil {
						return
					}
					text := answer(line)
					if text == "" {
						return
					}
					conn.Write([]byte(text))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// command reads a line with all its literals, without the line end.
func command(r *bufio.Reader) (string, error) {
	var all bytes.Buffer
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		all.WriteString(line)
		n, ok := literal([]byte(strings.Replace(line, "+}\r\n", "}\r\n", 1)))
		if !ok {
			return strings.TrimSuffix(all.String(), "\r\n"), nil
		}
		for range n {
			b, err := r.ReadByte()
			if err != nil {
				return "", err
			}
			all.WriteByte(b)
		}
	}
}

// imapd answers commands of IMAP, all with OK, and first with what the table says
// of the one that begins so.
func imapd(table map[string]string) func(line string) string {
	return func(line string) string {
		for begin, answer := range table {
			if strings.HasPrefix(line, "t "+begin) {
				if strings.HasPrefix(answer, "t ") {
					return answer
				}
				return answer + "t OK done\r\n"
			}
		}
		return "t OK done\r\n"
	}
}

// onlyIMAP is a site of which there is a scripted IMAP server.
func onlyIMAP(t *testing.T, answer func(line string) string) *site {
	t.Helper()
	s := &site{name: "scripted", imap: scripted(t, "* OK hello\r\n", answer), letters: newLetters()}
	t.Cleanup(func() {
		for _, c := range s.watch {
			if c != nil {
				c.close()
			}
		}
	})
	return s
}
