package message

import (
	"fmt"
	"strings"
	"testing"
)

// outline writes a part tree on one line.
func outline(p *Part) string {
	s := p.Type + "/" + p.Subtype
	if p.Embedded != nil {
		s += "<" + outline(p.Embedded) + ">"
	}
	for i, c := range p.Children {
		if i == 0 {
			s += "("
		} else {
			s += " "
		}
		s += outline(c)
	}
	if len(p.Children) > 0 {
		s += ")"
	}
	return s
}

func parse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse(strings.NewReader(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestQuick(t *testing.T) {
	raw := "Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\npre\r\n--a\r\n\r\nhello\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=ab\r\n\r\n--ab\r\n\r\nplain\r\n--ab\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n--ab--\r\n--a--\r\nepi\r\n"
	m := parse(t, raw)
	fmt.Println(outline(m.Root), m.Parts, m.Text)
	m.Walk(func(p *Part) bool {
		fmt.Printf("%v %q %q lines %d\n", p.Path, raw[p.Offset:p.Body], raw[p.Body:p.End], p.Lines)
		return true
	})
	fmt.Printf("%+v\n", ParseAddressList(`Doe, John <john@x>, "a, b" <c@d>, grp: x@y, z;, (com(nested)) joe@x (Joe B), <@r,@s:u@v>, "q p"@x.y, Jo Bl jo@bl.x, a@x <b@y>`))
	fmt.Println(DecodeHeader("=?utf-8?q?a=C3?= =?UTF-8?q?=A9?= x =?gb2312?B?xOO6ww?="))
	fmt.Println(ParseDate("Fri, 21 Nov 1997 09:55(comment):06 -0600"))
	fmt.Println(ParseDate("Fri, 21 Nov 97 09:55 EST"))
}
