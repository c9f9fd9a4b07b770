package autoconf

import (
	"encoding/xml"
	"io"
	"net/http"
)

// clientConfig is Thunderbird's format, version 1.1.
type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider provider `xml:"emailProvider"`
}

type provider struct {
	ID        string   `xml:"id,attr"`
	Domain    string   `xml:"domain"`
	Name      string   `xml:"displayName"`
	ShortName string   `xml:"displayShortName"`
	Incoming  []access `xml:"incomingServer"`
	Outgoing  []access `xml:"outgoingServer"`
}

type access struct {
	Type           Protocol `xml:"type,attr"`
	Host           string   `xml:"hostname"`
	Port           int      `xml:"port"`
	Socket         string   `xml:"socketType"`
	Username       string   `xml:"username"`
	Authentication string   `xml:"authentication"`
}

// thunderbird answers Thunderbird, K-9 Mail, Evolution and others.
func (h *Handler) thunderbird(w http.ResponseWriter, r *http.Request) {
	domain, ok := h.domain(r, r.URL.Query().Get("emailaddress"))
	if !ok || len(h.o.Services) == 0 {
		http.NotFound(w, r)
		return
	}
	name := domain.String()
	c := clientConfig{Version: "1.1", Provider: provider{ID: name, Domain: name, Name: name, ShortName: name}}
	for _, s := range h.o.Services {
		a := access{s.Protocol, h.o.Host, s.Port, "STARTTLS", "%EMAILADDRESS%", "password-cleartext"}
		if s.TLS {
			a.Socket = "SSL"
		}
		if s.Protocol == Submission {
			c.Provider.Outgoing = append(c.Provider.Outgoing, a)
		} else {
			c.Provider.Incoming = append(c.Provider.Incoming, a)
		}
	}
	writeXML(w, "application/xml", c)
}

func writeXML(w http.ResponseWriter, kind string, v any) {
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	io.WriteString(w, xml.Header)
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	e.Encode(v)
	io.WriteString(w, "\n")
}
