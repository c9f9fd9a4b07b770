package signs

import (
	"fmt"
	"net/netip"
	"strings"

	"plic/internal/content"
	"plic/internal/lookalike"
)

// links looks at where the message leads.
func (l *look) links() {
	domains := map[string]bool{}
	ours := l.o.Domains()
	for _, link := range l.content.Links {
		domain := link.Domain()
		domains[domain] = true
		if link.Addr.IsValid() {
			l.hit("LINK_ADDRESS", link.URL)
			if plain, err := netip.ParseAddr(link.Host); err != nil || plain != link.Addr {
				l.hit("LINK_ADDRESS_ODD", link.URL)
			}
		}
		l.when(link.User, "LINK_MASKED", link.URL)
		l.when(lookalike.Mixed(link.Host), "LINK_MIXED", lookalike.Unicode(link.Host))
		l.when(shortener(link.Host), "LINK_SHORTENED", link.URL)
		l.when(program(link.URL), "LINK_PROGRAM", link.URL)
		if shown := shows(link); shown != "" && registered(shown) != domain && registered(shown) != registered(link.Host) && !l.redirects(domain) {
			l.hit("LINK_LIES", shown+" leads to "+link.Host)
		}
		if our := ours.Near(domain); our != "" {
			l.hit("LINK_LIKE_OURS", link.Host+" is not "+our)
		}
	}
	l.when(len(domains) > 25, "LINKS_SCATTERED", fmt.Sprintf("%d domains", len(domains)))
}

// redirects says that a domain may stand for others: that of the author, through
// which newsletters count their readers.
func (l *look) redirects(domain string) bool { return domain != "" && domain == l.author }

// shows is the host that the text of a link seems to be, "" if it is none.
func shows(l content.Link) string {
	text := strings.TrimSpace(l.Text)
	if strings.ContainsAny(text, " \t@") {
		return ""
	}
	if web, ok := content.Web(text); ok {
		return web.Host
	}
	host, _, _ := strings.Cut(strings.ToLower(text), "/")
	if content.Registered(host) == "" || strings.Count(host, ".") == 0 || !known(host) {
		return ""
	}
	return content.Host(host)
}

// known says that a text that could be a name is meant as one: "report.zip" and
// "Mr.Miller" are not.
func known(host string) bool {
	return strings.HasPrefix(host, "www.") || ends(host, "com", "org", "net", "edu", "gov", "de", "fr", "it", "es", "nl", "uk", "ru", "eu", "ch", "at", "pl", "br", "jp", "cn", "in", "ca", "au", "us", "io", "info", "biz")
}

// program says that an URL ends in something that runs, or in an archive.
func program(url string) bool {
	url, _, _ = strings.Cut(url, "?")
	url, _, _ = strings.Cut(url, "#")
	i := strings.LastIndexByte(url, '/')
	if i < 8 {
		return false
	}
	return ends(strings.ToLower(url[i:]), "exe", "scr", "bat", "cmd", "vbs", "js", "jse", "hta", "msi", "jar", "ps1", "lnk", "iso", "img", "apk", "dmg", "zip", "rar", "7z", "ace", "docm", "xlsm")
}

// shortener are services that anybody may hide an URL behind.
func shortener(host string) bool {
	switch host {
	case "bit.ly", "tinyurl.com", "goo.gl", "t.co", "ow.ly", "is.gd", "buff.ly", "rebrand.ly", "cutt.ly", "tiny.cc", "shorturl.at", "rb.gy",
		"bl.ink", "t.ly", "s.id", "v.gd", "x.co", "lnkd.in", "db.tt", "qr.ae", "adf.ly", "bit.do", "soo.gd", "clck.ru", "u.to", "trib.al", "dlvr.it", "short.io", "urlz.fr", "shorte.st", "clk.im", "n9.cl", "kutt.it":
		return true
	}
	return false
}
