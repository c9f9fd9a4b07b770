package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The commands that we send.
const (
	cmdAbort   = 'A'
	cmdBody    = 'B'
	cmdConnect = 'C'
	cmdMacro   = 'D'
	cmdEnd     = 'E'
	cmdHelo    = 'H'
	cmdHeader  = 'L'
	cmdMail    = 'M'
	cmdEOH     = 'N'
	cmdOptions = 'O'
	cmdQuit    = 'Q'
	cmdRcpt    = 'R'
	cmdData    = 'T'
)

// The answers.
const (
	ansAddRcpt    = '+'
	ansDelRcpt    = '-'
	ansAddRcptPar = '2'
	ansShutdown   = '4'
	ansAccept     = 'a'
	ansReplBody   = 'b'
	ansContinue   = 'c'
	ansDiscard    = 'd'
	ansChgFrom    = 'e'
	ansConnFail   = 'f'
	ansAddHeader  = 'h'
	ansInsHeader  = 'i'
	ansChgHeader  = 'm'
	ansProgress   = 'p'
	ansQuarantine = 'q'
	ansReject     = 'r'
	ansSkip       = 's'
	ansTempFail   = 't'
	ansReplyCode  = 'y'
)

// What a milter may do.
const (
	doAddHeader  = 1 << 0
	doChgBody    = 1 << 1
	doAddRcpt    = 1 << 2
	doDelRcpt    = 1 << 3
	doChgHeader  = 1 << 4
	doQuarantine = 1 << 5
	doChgFrom    = 1 << 6
	doAddRcptPar = 1 << 7

	doAll = doAddHeader | doChgBody | doAddRcpt | doDelRcpt | doChgHeader | doQuarantine | doChgFrom | doAddRcptPar
)

// What a milter need not see, and where it does not answer.
const (
	noConnect = 1 << 0
	noHelo    = 1 << 1
	noMail    = 1 << 2
	noRcpt    = 1 << 3
	noBody    = 1 << 4
	noHeaders = 1 << 5
	noEOH     = 1 << 6
	nrHeader  = 1 << 7
	noUnknown = 1 << 8
	noData    = 1 << 9
	skips     = 1 << 10
	nrConnect = 1 << 12
	nrHelo    = 1 << 13
	nrMail    = 1 << 14
	nrRcpt    = 1 << 15
	nrData    = 1 << 16
	nrEOH     = 1 << 18
	nrBody    = 1 << 19
	leadSpace = 1 << 20

	offered = noConnect | noHelo | noMail | noRcpt | noBody | noHeaders | noEOH | nrHeader | noUnknown | noData | skips |
		nrConnect | nrHelo | nrMail | nrRcpt | nrData | nrEOH | nrBody | leadSpace
)

// The version of the protocol, and what a packet may hold.
const (
	version   = 6
	maxChunk  = 65535
	maxPacket = 1 << 20
	maxBody   = 512 << 20 // that replaces another
)

var errPacket = errors.New("it answers with nonsense")

// writePacket sends a command.
func writePacket(w io.Writer, cmd byte, data []byte) error {
	head := make([]byte, 5, 5+len(data))
	binary.BigEndian.PutUint32(head, uint32(len(data)+1))
	head[4] = cmd
	_, err := w.Write(append(head, data...))
	return err
}

// readPacket reads an answer.
func readPacket(r io.Reader) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n == 0 || n > maxPacket {
		return 0, nil, errPacket
	}
	data := make([]byte, n-1)
	_, err := io.ReadFull(r, data)
	return head[4], data, err
}

// texts cuts what is ended by NUL each.
func texts(data []byte) []string {
	var out []string
	for len(data) > 0 {
		text, rest, ok := bytes.Cut(data, []byte{0})
		if !ok && len(text) == 0 {
			break
		}
		out, data = append(out, string(text)), rest
	}
	return out
}

// pack writes texts, ended by NUL each. What holds NUL is cut there.
func pack(all ...string) []byte {
	var out []byte
	for _, t := range all {
		if i := strings.IndexByte(t, 0); i >= 0 {
			t = t[:i]
		}
		out = append(append(out, t...), 0)
	}
	return out
}

// agreed is what both ends have agreed on.
type agreed struct {
	actions, protocol uint32
	macros            map[uint32][]string // that it wants at a stage, if it says so
}

// The stages of macros.
const (
	atConnect = iota
	atHelo
	atMail
	atRcpt
	atData
	atEnd
	atEOH
)

// readOptions reads what a milter has chosen of our offer.
func readOptions(data []byte) (agreed, error) {
	var a agreed
	if len(data) < 12 {
		return a, errPacket
	}
	v := binary.BigEndian.Uint32(data)
	a.actions, a.protocol = binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if v < 2 || v > version {
		return a, fmt.Errorf("it speaks version %d", v)
	}
	if a.actions&^doAll != 0 || a.protocol&^uint32(offered) != 0 {
		return a, fmt.Errorf("it wants what was not offered: actions %#x, protocol %#x", a.actions&^doAll, a.protocol&^uint32(offered))
	}
	for data = data[12:]; len(data) > 4; {
		at := binary.BigEndian.Uint32(data)
		names, rest, ok := bytes.Cut(data[4:], []byte{0})
		if !ok {
			return a, errPacket
		}
		if a.macros == nil {
			a.macros = map[uint32][]string{}
		}
		a.macros[at], data = strings.Fields(string(names)), rest
	}
	return a, nil
}

// options is our offer.
func options() []byte {
	b := binary.BigEndian.AppendUint32(nil, version)
	b = binary.BigEndian.AppendUint32(b, doAll)
	return binary.BigEndian.AppendUint32(b, offered)
}

// valueOf is what stands behind the colon of a field, without its last line end.
func valueOf(name string, raw []byte) string {
	i := bytes.IndexByte(raw, ':')
	if i < 0 {
		i = len(name) - 1
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw[i+1:]), "\n"), "\r")
}
