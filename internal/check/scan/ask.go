package scan

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"plic/internal/check/score"
	"plic/internal/mail"
)

// clamav asks by INSTREAM: pieces with their lengths, and an empty one.
func (p *Part) clamav(ctx context.Context, m *score.Message) (score.Answer, error) {
	conn, done, err := p.open(ctx)
	if err != nil {
		return score.Answer{}, err
	}
	defer done()
	w := bufio.NewWriterSize(conn, 64<<10)
	w.WriteString("zINSTREAM\x00")
	r := mail.Reader(m.Body)
	piece := make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(r, piece)
		if n > 0 {
			w.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
			w.Write(piece[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return score.Answer{}, err
		}
	}
	w.Write([]byte{0, 0, 0, 0})
	if err := w.Flush(); err != nil {
		return score.Answer{}, err
	}
	text, err := readAnswer(conn)
	if err != nil {
		return score.Answer{}, err
	}
	return p.infected(strings.TrimRight(text, "\x00\n"))
}

// infected reads ClamAV's answer: "stream: OK" or "stream: Name FOUND".
func (p *Part) infected(text string) (score.Answer, error) {
	_, said, _ := strings.Cut(text, ": ")
	if said == "OK" {
		return score.Answer{}, nil
	}
	name, found := strings.CutSuffix(said, " FOUND")
	if !found {
		return score.Answer{}, fmt.Errorf("it says %q", score.Clip(text, 200))
	}
	name = score.Clip(clean(name), 100)
	return score.Answer{
		Hits: []score.Hit{{Symbol: Virus, Detail: name}}, Action: p.s.Found, Reason: "the message carries " + name,
	}, nil
}

// spamd asks SpamAssassin for its score and the names of its rules.
func (p *Part) spamd(ctx context.Context, m *score.Message) (score.Answer, error) {
	conn, done, err := p.open(ctx)
	if err != nil {
		return score.Answer{}, err
	}
	defer done()
	body := p.whole(m)
	w := bufio.NewWriterSize(conn, 64<<10)
	fmt.Fprintf(w, "SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n", body.Size())
	if p.s.User != "" {
		fmt.Fprintf(w, "User: %s\r\n", clean(p.s.User))
	}
	w.WriteString("\r\n")
	if _, err = io.Copy(w, mail.Reader(body)); err == nil {
		err = w.Flush()
	}
	if err != nil {
		return score.Answer{}, err
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
	text, err := readAnswer(conn)
	if err != nil {
		return score.Answer{}, err
	}
	return assassinated(text)
}

// assassinated reads spamd's answer: "SPAMD/1.1 0 EX_OK", fields among which
// "Spam: True ; 7.2 / 5.0" is, and the names of rules.
func assassinated(text string) (score.Answer, error) {
	head, names, ok := strings.Cut(text, "\r\n\r\n")
	first, fields, _ := strings.Cut(head, "\r\n")
	words := strings.Fields(first)
	if !ok || len(words) < 2 || !strings.HasPrefix(words[0], "SPAMD/") || words[1] != "0" {
		return score.Answer{}, fmt.Errorf("it says %q", score.Clip(clean(first), 200))
	}
	for line := range strings.SplitSeq(fields, "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(strings.TrimSpace(key), "Spam") {
			continue
		}
		_, numbers, _ := strings.Cut(value, ";")
		points, _, _ := strings.Cut(numbers, "/")
		n, err := strconv.ParseFloat(strings.TrimSpace(points), 64)
		if err != nil {
			return score.Answer{}, fmt.Errorf("it says %q", score.Clip(clean(line), 200))
		}
		return ofPoints(SpamAssassin, n, strings.Join(strings.Fields(strings.ReplaceAll(names, ",", " ")), ",")), nil
	}
	return score.Answer{}, errors.New("it gives no score")
}

// ofPoints is an answer of one symbol whose weight is a point.
func ofPoints(symbol string, n float64, detail string) score.Answer {
	if n == 0 {
		return score.Answer{}
	}
	n = max(-100, min(100, n))
	return score.Answer{Hits: []score.Hit{{Symbol: symbol, Factor: n, Detail: score.Clip(clean(detail), 300)}}}
}

// rspamd asks over HTTP.
func (p *Part) rspamd(ctx context.Context, m *score.Message) (score.Answer, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, p.s.URL+"/checkv2", mail.Reader(m.Body))
	if err != nil {
		return score.Answer{}, err
	}
	q.ContentLength = m.Body.Size()
	e := m.Envelope
	set := func(name, value string) {
		if value != "" {
			q.Header.Add(name, clean(value))
		}
	}
	set("From", e.From.String())
	for _, to := range e.To {
		set("Rcpt", to.Address.String())
	}
	if a := e.Origin.Remote.Addr(); a.IsValid() {
		set("IP", a.Unmap().WithZone("").String())
	}
	set("Helo", e.Origin.Helo)
	set("Hostname", e.Origin.Name)
	set("User", e.Origin.Account)
	set("Queue-Id", e.ID.String())
	set("MTA-Name", p.o.Host)
	a, err := p.web.Do(q)
	if err != nil {
		return score.Answer{}, err
	}
	defer a.Body.Close()
	text, err := readAnswer(a.Body)
	if err != nil {
		return score.Answer{}, err
	}
	if a.StatusCode != http.StatusOK {
		return score.Answer{}, fmt.Errorf("it answers %s", a.Status)
	}
	return p.thought(text)
}

// thought reads Rspamd's answer.
func (p *Part) thought(text string) (score.Answer, error) {
	var said struct {
		Action   string  `json:"action"`
		Score    float64 `json:"score"`
		Skipped  bool    `json:"is_skipped"`
		Error    string  `json:"error"`
		Messages struct {
			SMTP string `json:"smtp_message"`
		} `json:"messages"`
		Symbols map[string]struct {
			Score float64 `json:"score"`
		} `json:"symbols"`
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return score.Answer{}, err
	}
	if said.Error != "" || said.Action == "" {
		return score.Answer{}, fmt.Errorf("it says %q", score.Clip(clean(said.Error), 200))
	}
	if said.Skipped && said.Action == "no action" {
		return score.Answer{}, nil
	}
	var names []string
	for name, s := range said.Symbols {
		if s.Score != 0 {
			names = append(names, fmt.Sprintf("%s=%.1f", name, s.Score))
		}
	}
	slices.Sort(names)
	answer := ofPoints(Rspamd, said.Score, said.Action+": "+strings.Join(names, ","))
	if !p.s.Obey {
		return answer, nil
	}
	answer.Action = map[string]score.Action{
		"reject": score.Refuse, "soft reject": score.Defer, "greylist": score.Greylist, "add header": score.Junk, "rewrite subject": score.Tag,
	}[said.Action]
	if answer.Reason = clean(said.Messages.SMTP); answer.Reason == "" && answer.Action > score.Accept {
		answer.Reason = "Rspamd wants it so"
	}
	return answer, nil
}
