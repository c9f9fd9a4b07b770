package content

import (
	"strings"

	"golang.org/x/net/html"
)

// page is HTML being read.
type page struct {
	r      *reader
	anchor *Link    // that is open
	label  []byte   // what is seen on it
	skip   int      // elements around that show nothing, as <style>
	hidden []string // elements open since one that hides what is in it, it first
}

// html reads what a browser would show, roughly.
func (r *reader) html(text string) {
	z := html.NewTokenizer(strings.NewReader(text))
	z.SetMaxBuf(maxPart)
	p := page{r: r}
	for {
		switch z.Next() {
		case html.ErrorToken:
			p.close()
			return
		case html.TextToken:
			p.text(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			p.open(string(name), attributes(z, more))
		case html.EndTagToken:
			name, _ := z.TagName()
			p.end(string(name))
		}
	}
}

// attributes are those that matter.
func attributes(z *html.Tokenizer, more bool) map[string]string {
	var all map[string]string
	for n := 0; more && n < 50; n++ {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href", "src", "style", "hidden", "action", "width", "height", "http-equiv", "content":
			if all == nil {
				all = map[string]string{}
			}
			all[string(key)] = string(value)
		}
	}
	return all
}

// empty are elements without an end.
func empty(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr":
		return true
	}
	return false
}

func (p *page) open(name string, attr map[string]string) {
	if len(p.hidden) > 0 && !empty(name) && len(p.hidden) < 1000 {
		p.hidden = append(p.hidden, name)
	}
	switch name {
	case "style", "script", "title", "head":
		if name != "head" {
			p.skip++
		}
		if name == "script" {
			p.r.c.Scripts++
		}
	case "form":
		p.r.c.Forms++
		if l, ok := Web(attr["action"]); ok {
			p.r.link(l)
		}
	case "a", "area":
		p.close()
		if l, ok := Web(attr["href"]); ok {
			p.anchor = &l
		}
	case "img":
		if tiny(attr) {
			return
		}
		p.r.c.Images++
	case "meta":
		if strings.EqualFold(attr["http-equiv"], "refresh") {
			if _, target, ok := strings.Cut(strings.ToLower(attr["content"]), "url="); ok {
				if l, ok := Web(strings.Trim(target, `'" `)); ok {
					p.r.link(l)
				}
			}
		}
	case "br", "p", "div", "td", "th", "tr", "li", "hr", "h1", "h2", "h3", "h4", "table", "ul", "ol":
		p.text("\n")
	}
	if _, ok := attr["hidden"]; (ok || hides(attr["style"])) && len(p.hidden) == 0 && !empty(name) {
		p.hidden = append(p.hidden, name)
	}
}

func (p *page) end(name string) {
	for i := len(p.hidden) - 1; i >= 0; i-- {
		if p.hidden[i] == name {
			p.hidden = p.hidden[:i]
			break
		}
	}
	switch name {
	case "style", "script", "title":
		p.skip = max(0, p.skip-1)
	case "a":
		p.close()
	case "p", "div", "td", "tr", "li", "h1", "h2", "h3", "h4", "table":
		p.text("\n")
	}
}

func (p *page) text(text string) {
	switch {
	case p.skip > 0:
	case len(p.hidden) > 0:
		p.r.add(&p.r.hidden, text)
	default:
		p.r.say(text)
		if p.anchor != nil && len(p.label) < 300 {
			p.label = append(p.label, text[:min(len(text), 300)]...)
		}
	}
}

// close ends a link.
func (p *page) close() {
	if p.anchor == nil {
		return
	}
	p.anchor.Text = strings.Join(strings.Fields(strings.ToValidUTF8(string(p.label), "")), " ")
	p.r.link(*p.anchor)
	p.anchor, p.label = nil, nil
}

// tiny are pictures that are there to count readers.
func tiny(attr map[string]string) bool {
	one := func(s string) bool { return s == "0" || s == "1" || s == "0px" || s == "1px" }
	return one(attr["width"]) && one(attr["height"])
}

// hides says that a style keeps text from being seen.
func hides(style string) bool {
	if style == "" {
		return false
	}
	style = strings.ToLower(strings.ReplaceAll(style, " ", "")) + ";"
	for _, how := range []string{"display:none", "visibility:hidden", "font-size:0;", "font-size:0px", "font-size:1px", "opacity:0;", "max-height:0", "mso-hide:all", "text-indent:-9"} {
		if strings.Contains(style, how) {
			return true
		}
	}
	return false
}
