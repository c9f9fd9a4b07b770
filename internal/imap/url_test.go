package imap

import (
	"reflect"
	"testing"
	"time"
)

// RFC 5092 section 6.1 and RFC 4467 section 2.
func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]URL{
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER": {
			Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: Section{Text: SectionHeader},
		},
		"imap://minbari.example.org/gray%20council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024": {
			Host: "minbari.example.org", Mailbox: "gray council", UIDValidity: 385759045, UID: 20, Partial: true, Count: 1024,
		},
		"IMAP://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E;UIDVALIDITY=1/;UID=20/;section=1.2": {
			Host: "psicorp.example.org", Mailbox: "~peter/日本語", UIDValidity: 1, UID: 20, Section: Section{Path: []int{1, 2}},
		},
		"imap://j%40x;AUTH=*@Host:1143/inbox/;uid=5/;partial=7": {
			User: "j@x", Host: "host:1143", Mailbox: "INBOX", UID: 5, Partial: true, Offset: 7,
		},
		"imap://joe@example.com/INBOX/;uid=20/;section=1.2;expire=2030-01-02T03:04:05Z;urlauth=submit+fred": {
			User: "joe", Host: "example.com", Mailbox: "INBOX", UID: 20, Section: Section{Path: []int{1, 2}},
			Expire: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Access: "submit+fred",
			Rump: "imap://joe@example.com/INBOX/;uid=20/;section=1.2;expire=2030-01-02T03:04:05Z;urlauth=submit+fred",
		},
		"imap://joe@example.com/INBOX/;uid=20;urlauth=anonymous:internal:91354a473744909de610943775f92038": {
			User: "joe", Host: "example.com", Mailbox: "INBOX", UID: 20, Access: "anonymous", Mechanism: "INTERNAL",
			Rump: "imap://joe@example.com/INBOX/;uid=20;urlauth=anonymous", Token: "91354a473744909de610943775f92038",
		},
		";UID=20/;section=1.2": {UID: 20, Section: Section{Path: []int{1, 2}}},
	} {
		got, err := ParseURL(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v\n%+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "/", "x", "//host/INBOX/;UID=1", "http://h/INBOX/;UID=1", "imap://h", "imap:///INBOX/;UID=1", "/INBOX", "/INBOX/;UID=0",
		"/INBOX/;UID=+1", "/INBOX/;UID=4294967296", "/INBOX;UIDVALIDITY=0/;UID=1", "/INBOX/;UID=1/;UID=2", "/INBOX/;SECTION=1/;UID=1",
		"/INBOX/;UID=1/;SECTION=0", "/INBOX/;UID=1/;SECTION=1.BOGUS", "/INBOX/;UID=1/;PARTIAL=", "/INBOX/;UID=1/;PARTIAL=1.0",
		"/INBOX/;UID=1/;PARTIAL=-1", "/INB%ffOX/;UID=1", "/INB%OX/;UID=1", "/IN%00X/;UID=1", "/a b/;UID=1", "/\u00e9/;UID=1", "/;UID=1",
		"imap://h/;UID=1", ";UIDVALIDITY=1/;UID=1", ";SECTION=1", ";",
		"/INBOX/;UID=1;EXPIRE=2030-01-02T03:04:05Z", "/INBOX/;UID=1;URLAUTH=", "/INBOX/;UID=1;URLAUTH=user+", "/INBOX/;UID=1;URLAUTH=user",
		"/INBOX/;UID=1;URLAUTH=anonymous+x", "/INBOX/;UID=1;URLAUTH=anonymous:internal", "/INBOX/;UID=1;EXPIRE=soon;URLAUTH=anonymous",
		"/INBOX/;UID=1;URLAUTH=root", "/INBOX/;UID=1/;OTHER=1",
	} {
		if got, err := ParseURL(text); err == nil {
			t.Errorf("%q is taken: %+v", text, got)
		}
	}
}

// FuzzURL reads whatever comes; what is read can be asked for.
func FuzzURL(f *testing.F) {
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER.FIELDS%20(a%20b)")
	f.Add("imap://a;AUTH=*@b:1/c%20d/;UID=1/;SECTION=1.2.TEXT/;PARTIAL=3.4;EXPIRE=2030-01-02T03:04:05Z;URLAUTH=user+x:internal:00")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		if it := u.Item(); u.UID == 0 || u.Mailbox == "" && text[0] != ';' || it.Partial && it.Count <= 0 || it.Offset < 0 {
			t.Errorf("%q: %+v", text, u)
		}
	})
}
