package zone

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plic/internal/dns"
	"plic/internal/mtasts"
	"plic/internal/tlsrpt"
)

// sts looks at how the policy of MTA-STS is found. The policy itself is not
// fetched.
func (z *zone) sts() []Finding {
	if z.null {
		return nil
	}
	name := "_mta-sts." + z.domain
	f := Finding{State: Good, Name: name, Type: "TXT"}
	texts, err := z.texts(name, "v=STSv1")
	if err != nil {
		return []Finding{unasked(name, "TXT", err)}
	}
	f.Value = strings.Join(texts, ", ")
	wanted := z.wanted(name, "TXT")
	if len(wanted) > 0 {
		f.Should = quoted(wanted[0])
	}
	if len(texts) == 0 {
		f.State, f.Says = Advice, "There is no policy of MTA-STS: others may be led to bring mail without TLS, or to somebody else."
		if wanted != nil {
			f.State, f.Says = Missing, "The policy of MTA-STS that this site serves is not announced."
		}
		return []Finding{f}
	}
	host := "mta-sts." + z.domain
	id, err := mtasts.ParseRecord(texts)
	_, _, unreachable := z.o.Resolver.Addrs(z.ctx, host)
	switch {
	case err != nil:
		f.State, f.Says = Wrong, fmt.Sprintf("The announcement of MTA-STS is of no use: %v.", err)
	case wanted != nil && !strings.HasSuffix(wanted[0], "id="+id):
		f.State, f.Says = Wrong, "The id is not that of the policy which this site serves: others go on with the policy that they know."
	case unreachable != nil:
		return []Finding{{State: Wrong, Name: host, Type: "A", Says: "The policy of MTA-STS is announced, but the host that should serve it has no address."}}
	default:
		f.Says, f.Should = "The policy of MTA-STS is announced, and the host that should serve it is there.", ""
	}
	return []Finding{f}
}

// tlsrpt looks at where reports of TLS go.
func (z *zone) tlsrpt() []Finding {
	if z.null {
		return nil
	}
	name := "_smtp._tls." + z.domain
	f := Finding{State: Good, Name: name, Type: "TXT"}
	texts, err := z.texts(name, "v=TLSRPTv1")
	if err != nil {
		return []Finding{unasked(name, "TXT", err)}
	}
	f.Value = strings.Join(texts, ", ")
	targets, err := tlsrpt.ParseRecord(texts)
	should := z.want(name, "TXT", "v=TLSRPTv1; rua=mailto:postmaster@"+z.domain)
	switch {
	case len(texts) == 0:
		f.State, f.Says, f.Should = Advice, "Nobody is told if others fail to bring mail by TLS.", should
	case err != nil:
		f.State, f.Says, f.Should = Wrong, fmt.Sprintf("Reports of TLS have nowhere to go: %v.", err), should
	default:
		f.Says = fmt.Sprintf("Reports of TLS go to %s.", targets[0])
	}
	return []Finding{f}
}

// labels are the services by which mail programs find a host, RFC 6186 and RFC
// 8314.
func labels() []string {
	return []string{"_submissions._tcp.", "_submission._tcp.", "_imaps._tcp.", "_imap._tcp.", "_pop3s._tcp.", "_pop3._tcp."}
}

// programs looks at what mail programs of the domain's users look for.
func (z *zone) programs() (out []Finding) {
	names := []string{}
	for _, label := range labels() {
		names = append(names, label+z.domain)
	}
	for _, w := range z.o.Wanted {
		if w.Type == "SRV" && !slices.Contains(names, w.Name) {
			names = append(names, w.Name)
		}
	}
	found := false
	for _, name := range names {
		f, there := z.service(name)
		found = found || there
		if f.Says != "" {
			out = append(out, f)
		}
	}
	if !found && !z.ours && !z.null {
		out = append(out, Finding{State: Advice, Name: "_imaps._tcp." + z.domain, Type: "SRV", Says: "Mail programs have to guess where the services are (RFC 6186)."})
	}
	for _, w := range z.o.Wanted {
		if w.Type != "CNAME" {
			continue
		}
		f := Finding{State: Good, Name: w.Name, Type: "CNAME", Says: "Mail programs that ask there find something."}
		if _, _, err := z.o.Resolver.Addrs(z.ctx, w.Name); err != nil {
			f.State, f.Says, f.Should = Advice, "Mail programs that ask there find nothing.", w.Value
		}
		out = append(out, f)
	}
	return out
}

// service looks at one service; a Finding without words is none.
func (z *zone) service(name string) (Finding, bool) {
	f := Finding{State: Good, Name: name, Type: "SRV"}
	wanted := z.wanted(name, "SRV")
	if len(wanted) > 0 {
		f.Should = wanted[0]
	}
	list, _, err := z.o.Resolver.SRV(z.ctx, name)
	if dns.IsNotFound(err) {
		if wanted != nil {
			f.State, f.Says = Advice, "Mail programs have to guess (RFC 6186)."
		}
		return f, false
	}
	if err != nil {
		return unasked(name, "SRV", err), false
	}
	var values []string
	for _, s := range list {
		values = append(values, s.String())
	}
	f.Value = strings.Join(values, ", ")
	for _, s := range list {
		if err := z.server(s); err != nil {
			f.State, f.Says = Wrong, err.Error()+"."
			return f, true
		}
	}
	switch {
	case wanted != nil && !slices.ContainsFunc(list, func(s dns.SRV) bool { return sameServer(s, wanted[0]) }):
		f.State, f.Says = Wrong, "Mail programs are led to where this site does not listen."
	case list[0].Host == ".":
		f.Says, f.Should = "Mail programs are told that the service is not offered.", ""
	default:
		f.Says, f.Should = "Mail programs are led to a host that is there.", ""
	}
	return f, true
}

// server says what is wrong with a host that offers a service, RFC 2782.
func (z *zone) server(s dns.SRV) error {
	if s.Host == "." {
		return nil
	}
	if to, _, err := z.o.Resolver.CNAME(z.ctx, s.Host); err == nil {
		return fmt.Errorf("%s is an alias (CNAME) of %s, which it must not be (RFC 2782)", s.Host, to)
	}
	if _, _, err := z.o.Resolver.Addrs(z.ctx, s.Host); err != nil {
		return errors.New(s.Host + " has no address")
	}
	return nil
}

// sameServer compares what counts of a record with one that is wanted: the port
// and the host.
func sameServer(s dns.SRV, wanted string) bool {
	words := strings.Fields(wanted)
	return len(words) == 4 && words[3] == strings.TrimSuffix(s.Host, ".")+"." && (s.Host == "." || words[2] == strconv.Itoa(int(s.Port)))
}
