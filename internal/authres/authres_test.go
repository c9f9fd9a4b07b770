package authres

import (
	"reflect"
	"strings"
	"testing"
)

// TestParse reads examples of the forms of RFC 8601 section 2.2.
func TestParse(t *testing.T) {
	for value, want := range map[string]Field{
		"mx.example.org; none":   {Server: "mx.example.org"},
		"mx.example.org 1; none": {Server: "mx.example.org"},
		"mx.example.org;\r\n\tspf=pass (all (is) well) smtp.mailfrom=ann@example.net;": {"mx.example.org",
			[]Result{{"spf", "pass", "", []Property{{"smtp", "mailfrom", "ann@example.net"}}}}},
		`mx.example.org; dkim/1=fail reason="it \"broke\"; so" header.b=aB/+= header.i="an n"@example.net; dmarc=none`: {"mx.example.org", []Result{
			{"dkim", "fail", `it "broke"; so`, []Property{{"header", "b", "aB/+="}, {"header", "i", "an n@example.net"}}},
			{Method: "dmarc", Result: "none"}}},
		"": {}, "; spf=pass": {}, "a; spf": {}, "a; spf=": {}, "a; spf=pass smtp.mailfrom": {}, "a b c": {},
	} {
		got, err := Parse(value)
		if want.Server == "" {
			if err == nil {
				t.Errorf("%q gives %+v, want an error", value, got)
			}
		} else if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %+v, %v", value, got, err)
		}
	}
	for value, want := range map[string]string{
		" MX.example.org ; none": "mx.example.org", "(c)\r\n\t\"mx.example.org\";": "mx.example.org", "mx.example.org/1": "mx.example.org", ";": "", "(": "",
	} {
		if got := Server(value); got != want {
			t.Errorf("%q is of %q, want %q", value, got, want)
		}
	}
}

// TestWrite sees that nothing that a stranger chose can end a word or a line.
func TestWrite(t *testing.T) {
	f := Field{"mx.example.org", []Result{
		{"spf", "fail", "of \"x\"\r\nSubject: y", []Property{{"smtp", "mailfrom", "a; dmarc=pass@example.net"}, {"smtp", "helo", ""}}},
		{"dkim", "pass", "", []Property{{"header", "b", "a/b+"}}},
	}}
	text := f.String()
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	got, err := Parse(text)
	if err != nil || len(got.Results) != 2 || got.Results[0].Get("SMTP", "mailfrom") != "a; dmarc=pass@example.net" ||
		got.Results[0].Reason != `of "x"??Subject: y` || got.Results[1].Get("header", "b") != "a/b+" || got.Results[1].Get("header", "d") != "" {
		t.Errorf("%s\n%+v %v", text, got, err)
	}
	if got := (Field{Server: "a"}).String(); got != "a; none" {
		t.Error(got)
	}
}

// FuzzParse never fails but by an error, and reads what it writes.
func FuzzParse(f *testing.F) {
	f.Add("mx.example.org; spf=pass (a \\( b) smtp.mailfrom=ann@example.net; dkim/1=fail reason=\"x\\\"\" header.b=a/b")
	f.Add("a 1; none; (")
	f.Fuzz(func(t *testing.T, value string) {
		field, err := Parse(value)
		if err != nil {
			return
		}
		again, err := Parse(field.String())
		if err != nil && plain(field) {
			t.Errorf("%q was read as %+v, and written so that it cannot be read: %v", value, field, err)
		}
		if err == nil && len(again.Results) != len(field.Results) {
			t.Errorf("%q: %d results became %d", value, len(field.Results), len(again.Results))
		}
	})
}

// plain says that names of methods are such as we write.
func plain(f Field) bool {
	for _, r := range f.Results {
		for _, c := range []byte(r.Method + r.Result) {
			if !isToken(c) {
				return false
			}
		}
		for _, p := range r.Properties {
			for _, c := range []byte(p.Type + p.Name) {
				if !isToken(c) {
					return false
				}
			}
			if p.Type == "" || p.Name == "" {
				return false
			}
		}
	}
	return true
}
