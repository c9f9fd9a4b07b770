package autoconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// apple gives a configuration profile for an address: Mail of iOS and macOS
// makes an account of it, and asks for the password itself.
func (h *Handler) apple(w http.ResponseWriter, r *http.Request) {
	address, ok := h.address(r.Context(), r.URL.Query().Get("email"))
	in, reads := h.o.find(IMAP)
	kind := "EmailTypeIMAP"
	if !reads {
		in, reads = h.o.find(POP3)
		kind = "EmailTypePOP"
	}
	out, sends := h.o.find(Submission)
	if !ok || !reads || !sends {
		http.NotFound(w, r)
		return
	}
	user, domain := address.String(), address.Domain.String()
	account := dict{
		{"EmailAccountDescription", domain}, {"EmailAccountType", kind}, {"EmailAddress", user},
		{"IncomingMailServerAuthentication", "EmailAuthPassword"}, {"IncomingMailServerHostName", h.o.Host},
		{"IncomingMailServerPortNumber", in.Port}, {"IncomingMailServerUseSSL", true}, {"IncomingMailServerUsername", user},
		{"OutgoingMailServerAuthentication", "EmailAuthPassword"}, {"OutgoingMailServerHostName", h.o.Host},
		{"OutgoingMailServerPortNumber", out.Port}, {"OutgoingMailServerUseSSL", true}, {"OutgoingMailServerUsername", user},
		{"OutgoingPasswordSameAsIncomingPassword", true},
		{"PayloadDescription", "Mail of " + user}, {"PayloadDisplayName", domain},
		{"PayloadIdentifier", h.o.Host + ".mail." + user}, {"PayloadType", "com.apple.mail.managed"},
		{"PayloadUUID", uuid("account", user, h.o.Host)}, {"PayloadVersion", 1},
	}
	profile := dict{
		{"PayloadContent", []dict{account}}, {"PayloadDescription", "Mail of " + user}, {"PayloadDisplayName", "Mail: " + domain},
		{"PayloadIdentifier", h.o.Host + ".profile." + user}, {"PayloadOrganization", domain}, {"PayloadRemovalDisallowed", false},
		{"PayloadType", "Configuration"}, {"PayloadUUID", uuid("profile", user, h.o.Host)}, {"PayloadVersion", 1},
	}
	w.Header().Set("Content-Type", "application/x-apple-aspen-config; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="mail.mobileconfig"`)
	var b bytes.Buffer
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n")
	profile.write(&b)
	b.WriteString("</plist>\n")
	w.Write(b.Bytes())
}

// dict is a dictionary of a property list, in order.
type dict []struct {
	key   string
	value any
}

func (d dict) write(w *bytes.Buffer) {
	text := func(element, s string) {
		w.WriteString("<" + element + ">")
		xml.EscapeText(w, []byte(s))
		w.WriteString("</" + element + ">\n")
	}
	w.WriteString("<dict>\n")
	for _, x := range d {
		text("key", x.key)
		switch v := x.value.(type) {
		case string:
			text("string", v)
		case int:
			text("integer", strconv.Itoa(v))
		case bool:
			io.WriteString(w, "<"+strconv.FormatBool(v)+"/>\n")
		case []dict:
			w.WriteString("<array>\n")
			for _, d := range v {
				d.write(w)
			}
			w.WriteString("</array>\n")
		}
	}
	w.WriteString("</dict>\n")
}

// uuid is always the same for the same names, so that a profile that is fetched
// again takes the place of the first: version 8 of RFC 9562.
func uuid(names ...string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q", names)))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
