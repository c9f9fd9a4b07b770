package autoconf

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"time"
)

// The schemas of Autodiscover.
const (
	schemaOuter = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
	schemaMail  = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// maxQuestion bounds what is read of a request.
const maxQuestion = 16 << 10

type question struct {
	XMLName xml.Name `xml:"Autodiscover"`
	Address string   `xml:"Request>EMailAddress"`
	Schema  string   `xml:"Request>AcceptableResponseSchema"`
}

type autodiscover struct {
	XMLName  xml.Name `xml:"Autodiscover"`
	Schema   string   `xml:"xmlns,attr"`
	Response response
}

type response struct {
	Schema  string   `xml:"xmlns,attr,omitempty"`
	Name    string   `xml:"User>DisplayName,omitempty"`
	Account *account `xml:",omitempty"`
	Error   *failure `xml:",omitempty"`
}

type account struct {
	AccountType string
	Action      string
	Protocol    []protocol
}

type protocol struct {
	Type           string
	Server         string
	Port           int
	DomainRequired string
	LoginName      string
	SPA            string
	SSL            string
	Encryption     string
	AuthRequired   string
	UsePOPAuth     string `xml:",omitempty"`
	SMTPLast       string `xml:",omitempty"`
}

type failure struct {
	Time      string `xml:",attr"`
	ID        string `xml:"Id,attr"`
	ErrorCode int
	Message   string
	DebugData string
}

// outlook answers Outlook's Autodiscover, of plain mail accounts.
func (h *Handler) outlook(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := xml.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&q); err != nil {
		refuseOutlook(w, 600, "Invalid request")
		return
	}
	if q.Schema != "" && q.Schema != schemaMail || len(h.o.Services) == 0 {
		refuseOutlook(w, 601, "Provider is not available") // ActiveSync, for one
		return
	}
	address, ok := h.address(r.Context(), q.Address)
	if !ok {
		refuseOutlook(w, 500, "The email address is not of a domain of this server")
		return
	}
	all := &account{AccountType: "email", Action: "settings"}
	for _, s := range h.o.Services {
		p := protocol{
			Type: strings.ToUpper(string(s.Protocol)), Server: h.o.Host, Port: s.Port, DomainRequired: "off",
			LoginName: address.String(), SPA: "off", SSL: "on", Encryption: "TLS", AuthRequired: "on",
		}
		if s.TLS {
			p.Encryption = "SSL"
		}
		if s.Protocol == Submission {
			p.UsePOPAuth, p.SMTPLast = "off", "off"
		}
		all.Protocol = append(all.Protocol, p)
	}
	writeXML(w, "text/xml", autodiscover{Schema: schemaOuter, Response: response{Schema: schemaMail, Name: address.String(), Account: all}})
}

func refuseOutlook(w http.ResponseWriter, code int, why string) {
	writeXML(w, "text/xml", autodiscover{Schema: schemaOuter, Response: response{
		Error: &failure{Time: time.Now().UTC().Format("15:04:05.000"), ID: "1", ErrorCode: code, Message: why},
	}})
}

// outlookJSON is Autodiscover's second version, which only says where the first
// is.
func (h *Handler) outlookJSON(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	address := r.PathValue("address")
	if address == "" {
		address = q.Get("Email")
	}
	answer := func(code int, fields map[string]string) {
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(fields)
	}
	if _, ok := h.address(r.Context(), address); !ok {
		answer(http.StatusNotFound, map[string]string{"ErrorCode": "UserNotFound", "ErrorMessage": "The address is not of a domain of this server."})
		return
	}
	if p := q.Get("Protocol"); !strings.EqualFold(p, "AutodiscoverV1") {
		answer(http.StatusBadRequest, map[string]string{"ErrorCode": "InvalidProtocol", "ErrorMessage": "The protocol is not offered; AutodiscoverV1 is."})
		return
	}
	answer(http.StatusOK, map[string]string{"Protocol": "AutodiscoverV1", "Url": "https://" + h.o.Host + outlookPath})
}
