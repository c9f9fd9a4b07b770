package signs

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/lookalike"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/spf"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const head = "Received: from a.there.test by mx.there.test; Wed, 4 Mar 2026 11:59:00 +0000\r\nFrom: Ann Smith <ann@there.test>\r\nTo: bob@here.test\r\n" +
	"Subject: The plan for Thursday\r\nDate: Wed, 4 Mar 2026 11:58:00 +0000\r\nMessage-ID: <1@there.test>\r\n"

const text = "\r\nHello Bob, here is what we said about the plan for Thursday. See you there, and bring the drawings along. Ann\r\n"

func plain() *Part {
	return New(Options{
		Host: "mx.here.test", Now: func() time.Time { return now },
		Ours: func(_ context.Context, d mail.Domain) bool {
			return d.String() == "here.test" || d.String() == "example.org"
		},
		Domains: func() *lookalike.Set { return lookalike.NewSet([]string{"here.test", "example.org"}) },
	})
}

func passed() *sender.Findings {
	return &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "there.test"}, DMARC: dmarc.Verdict{Result: dmarc.Pass}}
}

// symbols are what is found in a message from mx.there.test.
func symbols(t testing.TB, whole string, change func(*mail.Origin), f *sender.Findings) string {
	t.Helper()
	parsed, err := message.Parse(strings.NewReader(whole), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	env := &mail.Envelope{From: mail.MustAddress("ann@there.test"), Origin: mail.Origin{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Name: "mx.there.test", Helo: "mx.there.test"}}
	if change != nil {
		change(&env.Origin)
	}
	m := score.NewMessage(env, parsed, mail.Bytes([]byte(whole)))
	m.Found(f)
	a, err := plain().Look(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range a.Hits {
		names = append(names, h.Symbol)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestReplayed is K4: what was signed once and comes from everywhere.
func TestReplayed(t *testing.T) {
	f := passed()
	if f.Networks = manyNetworks; strings.Contains(symbols(t, head+text, nil, f), "DKIM_REPLAYED") {
		t.Error("a few networks are many")
	}
	if f.Networks++; !strings.Contains(symbols(t, head+text, nil, f), "DKIM_REPLAYED") {
		t.Error("many networks are few")
	}
}

func swap(old, with string) string { return strings.Replace(head+text, old, with, 1) }

func without(field string) string {
	var out strings.Builder
	for line := range strings.SplitAfterSeq(head, "\n") {
		if !strings.HasPrefix(line, field+":") {
			out.WriteString(line)
		}
	}
	return out.String() + text
}

func page(html string) string {
	return head + "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello Bob, here is what we said about the plan for Thursday, and more than a few words of it.</p>" + html
}

func attach(name string, data []byte) string {
	return head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + text + "--b\r\nContent-Type: application/octet-stream; name=\"" + name +
		"\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n" + base64.StdEncoding.EncodeToString(data) + "\r\n--b--\r\n"
}

func zipped(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		if _, err := w.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSigns has each sign found, and nothing else beside it.
func TestSigns(t *testing.T) {
	for name, x := range map[string]struct{ text, want string }{
		"nothing":          {head + text, ""},
		"no date":          {without("Date"), "NO_DATE"},
		"bad date":         {swap("Wed, 4 Mar 2026 11:58", "yesterday"), "BAD_DATE"},
		"ahead":            {swap("Date: Wed, 4 Mar 2026", "Date: Sat, 7 Mar 2026"), "DATE_AHEAD"},
		"old":              {swap("Date: Wed, 4 Mar 2026", "Date: Sun, 1 Feb 2026"), "DATE_OLD"},
		"no id":            {without("Message-ID"), "NO_MESSAGE_ID"},
		"bad id":           {swap("<1@there.test>", "none"), "BAD_MESSAGE_ID"},
		"no recipient":     {without("To"), "NO_TO"},
		"twice":            {"Subject: another\r\n" + head + text, "TWICE"},
		"no author":        {swap("<ann@there.test>", "<ann>"), "BAD_FROM"},
		"reply":            {"Reply-To: x@gmail.com\r\n" + head + text, "REPLY_ELSEWHERE"},
		"raw":              {swap("The plan", "The pl\xe4n"), "RAW_HEADER"},
		"encoded":          {swap("The plan", "=?utf-8?B?VGhlIHBsYW4=?="), "CODED_NEEDLESSLY"},
		"encoded for good": {swap("The plan", "=?utf-8?Q?Der_Pl=C3=A4n?="), ""},
		"script":           {"X-PHP-Originating-Script: 33:x.php\r\n" + head + text, "BY_SCRIPT"},
		"bulk":             {"Precedence: bulk\r\n" + head + text, "BULK_NO_WAY_OUT"},
		"newsletter":       {"Precedence: bulk\r\nList-Unsubscribe: <https://there.test/u>\r\n" + head + text, ""},
		"no subject":       {without("Subject"), "NO_SUBJECT"},
		"capitals":         {swap("The plan for Thursday", "YOUR PRIZE IS WAITING"), "SUBJECT_CAPITALS"},
		"shouts":           {swap("The plan for Thursday", "Money for you $$$"), "SUBJECT_SHOUTS"},
		"spaced":           {swap("The plan for Thursday", "V i a g r a here"), "SUBJECT_SPACED"},
		"false reply":      {swap("The plan", "Re: The plan"), "FALSE_REPLY"},
		"true reply":       {"In-Reply-To: <0@here.test>\r\n" + swap("The plan", "Re: The plan"), ""},
		"our trace":        {"Received: from x by MX.here.test; Wed, 4 Mar 2026 11:59:00 +0000\r\n" + head + text, "RECEIVED_OURS"},
		"trace ahead":      {swap("Wed, 4 Mar 2026 11:59", "Wed, 4 Mar 2027 11:59"), "RECEIVED_AHEAD"},
		"no trace":         {without("Received"), "RECEIVED_NONE"},
		"broken parts":     {head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n" + text, "MIME_BROKEN"},
		"unsaid":           {strings.Replace(attach("a.txt", []byte("hello")), "MIME-Version: 1.0\r\n", "", 1), "MIME_UNSAID"},
		"charset":          {head + "Content-Type: text/plain; charset=klingon\r\n" + text, "CHARSET_UNKNOWN"},
		"coded text":       {head + "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text)), "CODED_TEXT"},
		"page":             {page(""), "HTML_ONLY"},
		"form":             {page("<form action='https://there.test/x'>"), "HTML_FORM HTML_ONLY"},
		"script in page":   {page("<script>x</script>"), "HTML_ONLY HTML_SCRIPT"},
		"hidden":           {page("<div style='display:none'>" + strings.Repeat("poetry ", 50) + "</div>"), "HTML_HIDDEN HTML_ONLY"},
		"picture":          {head + "MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<img src='https://there.test/x.png'>", "HTML_ONLY PICTURE_ONLY"},
		"empty":            {head + "\r\n\r\n", "EMPTY"},
		"link alone":       {head + "\r\nhttps://there.test/\r\n", "LINK_ALONE"},
		"mixed words":      {head + "Content-Type: text/plain; charset=utf-8\r\n" + text + "Yоur bаnk аccоunt is clоsеd", "WORDS_MIXED"},
		"russian":          {head + "Content-Type: text/plain; charset=utf-8\r\n" + text + "Здравствуйте, как дела в IMAP-клиенте", ""},
		"broken words":     {head + "Content-Type: text/plain; charset=utf-8\r\n" + text + strings.Repeat("pass\u200bword ", 6), "WORDS_BROKEN"},
		"address":          {head + text + "http://192.0.2.9/login", "LINK_ADDRESS"},
		"odd address":      {head + text + "http://3221225993/login", "LINK_ADDRESS LINK_ADDRESS_ODD"},
		"masked":           {head + text + "http://bank.test@evil.test/", "LINK_MASKED"},
		"lies":             {page("<a href='https://evil.test/x'>https://www.bank.com/login</a>"), "HTML_ONLY LINK_LIES"},
		"counts readers":   {page("<a href='https://click.there.test/x'>www.bank.com</a>"), "HTML_ONLY"},
		"says the same":    {page("<a href='https://login.bank.com/x'>www.bank.com</a>"), "HTML_ONLY"},
		"mixed host":       {head + text + "https://xn--pypal-4ve.com/", "LINK_MIXED"},
		"like ours":        {head + text + "https://exarnple.org/", "LINK_LIKE_OURS"},
		"ours":             {head + text + "https://www.example.org/", ""},
		"shortened":        {head + text + "https://bit.ly/abc", "LINK_SHORTENED"},
		"program behind":   {head + text + "https://there.test/a/invoice.exe?x", "LINK_PROGRAM"},
		"program":          {attach("setup.exe", []byte("MZ")), "FILE_PROGRAM"},
		"program unnamed":  {attach("readme", []byte("MZ\x90")), "FILE_PROGRAM"},
		"disguised":        {attach("invoice.pdf.exe", []byte("x")), "FILE_DISGUISED FILE_PROGRAM"},
		"turned round":     {attach("invoice\u202efdp.exe", []byte("x")), "FILE_DISGUISED FILE_PROGRAM"},
		"macros":           {attach("letter.docm", zipped(t, "word/vbaProject.bin")), "FILE_MACROS"},
		"document":         {attach("letter.docx", zipped(t, "word/document.xml")), ""},
		"packed":           {attach("photos.zip", zipped(t, "a.txt", "b.js")), "FILE_PACKED_PROGRAM"},
		"nested":           {attach("photos.zip", zipped(t, "a.zip")), "FILE_NESTED"},
		"page attached":    {attach("login.html", []byte("<html>")), "FILE_PAGE"},
		"disk":             {attach("doc.iso", []byte("x")), "FILE_DISK"},
		"pdf":              {attach("doc.pdf", []byte("%PDF-1.7")), ""},
		"other address":    {swap("Ann Smith <", `"ann@bank.com" <`), "NAME_OTHER_ADDRESS"},
		"own address":      {swap("Ann Smith <", `"ann@there.test" <`), ""},
		"our address":      {swap("Ann Smith <", `"boss@here.test" <`), "NAME_OUR_ADDRESS"},
		"like our domain":  {swap("ann@there.test", "ann@examp1e.org"), "FROM_LIKE_OURS"},
		"mixed domain":     {swap("ann@there.test", "ann@xn--pypal-4ve.com"), "FROM_MIXED"},
	} {
		if got := symbols(t, x.text, nil, nil); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

// TestClient looks at who brings a message, and at what was found of the sender.
func TestClient(t *testing.T) {
	for name, x := range map[string]struct {
		name, helo string
		f          *sender.Findings
		want       string
	}{
		"good":        {"mx.there.test", "mx.there.test", passed(), "DMARC_PASS"},
		"no name":     {"", "mx.there.test", nil, "NO_RDNS"},
		"a line":      {"p5dc-192-0-2-1.dip0.there.test", "mx.there.test", nil, "RDNS_GENERIC"},
		"a pool":      {"dyn-12-34.pool.there.test", "mx.there.test", nil, "RDNS_GENERIC"},
		"numbered":    {"mail-ed1-f42.there.test", "mx.there.test", nil, ""},
		"bare":        {"mx.there.test", "desktop", nil, "HELO_BARE"},
		"address":     {"mx.there.test", "[192.0.2.1]", nil, "HELO_ADDRESS"},
		"our name":    {"mx.there.test", "mx.HERE.test", nil, "HELO_OURS"},
		"our domain":  {"mx.there.test", "here.test", nil, "HELO_OURS"},
		"spf fails":   {"mx.there.test", "mx.there.test", &sender.Findings{From: spf.Verdict{Result: spf.Fail}, DMARC: dmarc.Verdict{Result: dmarc.Fail}}, "DMARC_FAIL NO_PROOF SPF_FAIL"},
		"pardoned":    {"mx.there.test", "mx.there.test", &sender.Findings{Pardon: "a list", From: spf.Verdict{Result: spf.SoftFail}, DMARC: dmarc.Verdict{Result: dmarc.Fail}}, "NO_PROOF SPF_SOFTFAIL"},
		"broken":      {"mx.there.test", "mx.there.test", &sender.Findings{DKIM: []dkim.Result{{Status: dkim.Fail}}, From: spf.Verdict{Result: spf.PermError}}, "DKIM_BROKEN NO_PROOF SPF_BROKEN"},
		"signed once": {"mx.there.test", "mx.there.test", &sender.Findings{DKIM: []dkim.Result{{Status: dkim.Fail}, {Status: dkim.Pass}}}, ""},
	} {
		got := symbols(t, head+text, func(o *mail.Origin) { o.Name, o.Helo = x.name, x.helo }, x.f)
		if got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

// TestOurName sees who speaks for a domain of ours. U1: in any form of its name.
func TestOurName(t *testing.T) {
	ours := swap("ann@there.test", "boss@here.test")
	for name, x := range map[string]struct {
		f    *sender.Findings
		want string
	}{
		"not asked":      {nil, ""},
		"nothing proves": {&sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "there.test"}}, "FROM_OURS"},
		"spf":            {&sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "here.test"}}, ""},
		"dkim":           {&sender.Findings{From: spf.Verdict{Result: spf.Pass}, DKIM: []dkim.Result{{Status: dkim.Pass, Domain: "mail.here.test"}}}, ""},
		"a trusted list": {&sender.Findings{From: spf.Verdict{Result: spf.Pass}, Pardon: "x"}, ""},
	} {
		if got := symbols(t, ours, nil, x.f); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
	for _, spoofed := range []string{"ann@ｅxample.org", "ann@EXAMPLE.org."} {
		if got := symbols(t, swap("ann@there.test", spoofed), nil, &sender.Findings{From: spf.Verdict{Result: spf.Pass}}); got != "FROM_OURS" && got != "BAD_FROM FROM_OURS" {
			t.Errorf("U1: %s: %q", spoofed, got)
		}
	}
	for _, spoofed := range []string{"ann@еxample.org", "ann@xn--xample-9uf.org", "ann@exаmple.org"} {
		if got := symbols(t, swap("ann@there.test", spoofed), nil, nil); !strings.Contains(got, "FROM_LIKE_OURS") || !strings.Contains(got, "FROM_MIXED") {
			t.Errorf("U1: %s: %q", spoofed, got)
		}
	}
}

// FuzzLook must bear anything.
func FuzzLook(f *testing.F) {
	f.Add(head + text)
	f.Add(attach("a.zip", zipped(f, "b.exe")))
	f.Add(page("<a href='http://x@192.0.2.1/'>www.bank.com</a>"))
	f.Fuzz(func(t *testing.T, whole string) { symbols(t, whole, nil, passed()) })
}

// BenchmarkLook looks at a message of 20 KiB with links.
func BenchmarkLook(b *testing.B) {
	var body strings.Builder
	for body.Len() < 20<<10 {
		body.WriteString("<p>Hello <b>Bob</b>, here is what we said about the plan for Thursday. <a href=\"https://there.test/a/b?c=d\">See you there</a>, and bring the drawings along.</p>\r\n")
	}
	whole := page(body.String())
	parsed, err := message.Parse(strings.NewReader(whole), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	env := &mail.Envelope{Origin: mail.Origin{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Name: "mx.there.test", Helo: "mx.there.test"}}
	part := plain()
	for b.Loop() {
		m := score.NewMessage(env, parsed, mail.Bytes([]byte(whole)))
		m.Found(passed())
		if _, err := part.Look(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
