package milter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
)

// message shows a message, and takes what is to be changed. At its end the
// transaction is over.
func (l *link) message(ctx context.Context, env *mail.Envelope, m *letter, x *Change) error {
	if l.discard {
		x.Discard = true
		l.begun = false
		return nil
	}
	end, err := l.show(ctx, env, m)
	if err != nil {
		return err
	}
	l.begun = false // by its end, or by ABORT
	if !end {
		return l.cut(ctx, x)
	}
	return l.changes(ctx, env, m, x)
}

// cut ends a transaction of which the milter wants to see no more.
func (l *link) cut(ctx context.Context, x *Change) error {
	x.Discard = x.Discard || l.discard
	l.begun = true
	return l.abort(ctx)
}

// show sends the message, until the milter has seen enough of it: end says that
// it waits for the end.
func (l *link) show(ctx context.Context, env *mail.Envelope, m *letter) (end bool, err error) {
	one := func(cmd byte, data []byte, no, nr uint32) (skip bool, err error) {
		kind, text, err := l.event(ctx, cmd, data, no, nr)
		if err = l.decide(kind, text, err, &l.passed); err != nil {
			l.abort(ctx)
		}
		return kind == ansSkip || l.passed, err
	}
	if err := l.macros(ctx, cmdData, atData, map[string]string{"i": env.ID.String()}); err != nil {
		return false, err
	}
	if _, err := one(cmdData, nil, noData, nrData); err != nil || l.passed {
		return false, err
	}
	for _, f := range m.fields {
		skip, err := one(cmdHeader, pack(f.name, l.shown(f.value)), noHeaders, nrHeader)
		if err != nil || l.passed {
			return false, err
		}
		if skip {
			break
		}
	}
	if err := l.macros(ctx, cmdEOH, atEOH, map[string]string{"i": env.ID.String()}); err != nil {
		return false, err
	}
	if _, err := one(cmdEOH, nil, noEOH, nrEOH); err != nil || l.passed {
		return false, err
	}
	for rest := m.body; len(rest) > 0; {
		chunk := rest[:min(len(rest), maxChunk)]
		rest = rest[len(chunk):]
		skip, err := one(cmdBody, chunk, noBody, nrBody)
		if err != nil || l.passed {
			return false, err
		}
		if skip {
			break
		}
	}
	return true, nil
}

// shown is the value of a field as the milter wants it: with lines that end in
// LF, and without the first space if it did not ask for that.
func (l *link) shown(value string) string {
	value = strings.ReplaceAll(value, "\r\n", "\n")
	if l.protocol&leadSpace == 0 {
		value = strings.TrimPrefix(value, " ")
	}
	return value
}

// written is the value of a field of the milter's.
func (l *link) written(value string) string {
	value = strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", "\n"), "\r", "")
	var lines []string
	for i, line := range strings.Split(strings.TrimRight(value, "\n"), "\n") {
		if i > 0 && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			line = " " + line // it would be a field of its own
		}
		lines = append(lines, line)
	}
	value = strings.Join(lines, "\r\n")
	if l.protocol&leadSpace == 0 {
		value = " " + value
	}
	return value
}

// changes tells of the end of the message, and reads what follows.
func (l *link) changes(ctx context.Context, env *mail.Envelope, m *letter, x *Change) error {
	if err := l.macros(ctx, cmdEnd, atEnd, map[string]string{"i": env.ID.String(), "{msg_id}": ""}); err != nil {
		return err
	}
	stop := l.bound(ctx, l.f.Content)
	defer stop()
	if err := writePacket(l.conn, cmdEnd, nil); err != nil {
		return &trouble{err}
	}
	e := &edit{l: l, m: &letter{fields: slices.Clone(m.fields), body: m.body, changed: m.changed}}
	for {
		kind, data, err := readPacket(l.r)
		if err != nil {
			return &trouble{err}
		}
		switch kind {
		case ansContinue, ansAccept:
			*m = *e.take()
			x.add(&e.x)
			return nil
		case ansDiscard:
			x.Discard = true
			return nil
		case ansProgress:
			l.conn.SetDeadline(time.Now().Add(l.f.Content))
			continue
		case ansReject, ansTempFail, ansReplyCode, ansShutdown, ansConnFail:
			return l.decide(kind, data, nil, &l.passed)
		}
		if err := e.apply(kind, data); err != nil {
			return &trouble{fmt.Errorf("change %q: %w", kind, err)}
		}
	}
}

// add takes what a milter has changed beside the message. What a later one
// removes again is not added.
func (x *Change) add(y *Change) {
	if y.From != nil {
		x.From = y.From
	}
	for _, a := range y.Del {
		x.Add = slices.DeleteFunc(x.Add, func(b mail.Address) bool { return a == b })
	}
	x.Add, x.Del = append(x.Add, y.Add...), append(x.Del, y.Del...)
	if y.Hold != "" {
		x.Hold = y.Hold
	}
}

// edit is what one milter changes, all or nothing.
type edit struct {
	l    *link
	m    *letter
	x    Change
	body []byte
	repl bool
}

func (e *edit) take() *letter {
	if e.repl {
		e.m.body, e.m.changed = e.body, true
	}
	return e.m
}

// apply makes one change, if the milter may: it has said at first what it does.
func (e *edit) apply(kind byte, data []byte) error {
	may := map[byte]uint32{
		ansAddHeader: doAddHeader, ansInsHeader: doAddHeader, ansChgHeader: doChgHeader, ansReplBody: doChgBody, ansAddRcpt: doAddRcpt,
		ansAddRcptPar: doAddRcptPar, ansDelRcpt: doDelRcpt, ansChgFrom: doChgFrom, ansQuarantine: doQuarantine,
	}[kind]
	if may == 0 || e.l.actions&may == 0 {
		return fmt.Errorf("it has not said that it does such")
	}
	switch kind {
	case ansReplBody:
		if len(e.body)+len(data) > maxBody {
			return errPacket
		}
		e.body, e.repl = append(e.body, bytes.ReplaceAll(data, []byte{0}, nil)...), true
		return nil
	case ansAddHeader, ansInsHeader, ansChgHeader:
		return e.header(kind, data)
	}
	args := texts(data)
	if len(args) == 0 {
		return errPacket
	}
	if kind == ansQuarantine {
		e.x.Hold = clip(clean(args[0]))
		return nil
	}
	a, err := mail.ParseAddress(strings.Trim(strings.TrimSpace(args[0]), "<>"))
	if strings.Trim(args[0], "<> ") == "" && kind == ansChgFrom {
		a, err = mail.Address{}, nil
	}
	if err != nil {
		return err
	}
	switch kind {
	case ansChgFrom:
		e.x.From = &a
	case ansDelRcpt:
		e.x.Del = append(e.x.Del, a)
	default:
		e.x.Add = append(e.x.Add, a)
	}
	return nil
}

// header adds, inserts, changes or removes a field.
func (e *edit) header(kind byte, data []byte) error {
	index := 0
	if kind != ansAddHeader {
		if len(data) < 4 {
			return errPacket
		}
		index, data = int(min(binary.BigEndian.Uint32(data), 1<<20)), data[4:]
	}
	args := texts(append(data, 0))
	if len(args) == 0 || !validName(args[0]) {
		return errPacket
	}
	name, value := args[0], ""
	if len(args) > 1 {
		value = args[1]
	}
	e.m.changed = true
	made := field{name: name, value: e.l.written(value)}
	switch kind {
	case ansAddHeader:
		e.m.fields = append(e.m.fields, made)
	case ansInsHeader:
		e.m.fields = slices.Insert(e.m.fields, min(index, len(e.m.fields)), made)
	case ansChgHeader:
		e.replace(name, max(index, 1), value == "", made)
	}
	return nil
}

// replace changes the nth field of a name, or removes it; one that is not there
// is added.
func (e *edit) replace(name string, n int, remove bool, made field) {
	for i, f := range e.m.fields {
		if !strings.EqualFold(f.name, name) {
			continue
		}
		if n--; n > 0 {
			continue
		}
		if remove {
			e.m.fields = slices.Delete(e.m.fields, i, i+1)
		} else {
			made.name = f.name
			e.m.fields[i] = made
		}
		return
	}
	if !remove {
		e.m.fields = append(e.m.fields, made)
	}
}

// validName says that a text is the name of a field, RFC 5322 section 3.6.8.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return name != ""
}
