package sender

import (
	"strconv"
	"strings"

	"plic/internal/arc"
	"plic/internal/authres"
	"plic/internal/mail"
	"plic/internal/spf"
)

// results tells what was found, RFC 8601 section 2.7.
func (c *Checker) results(env *mail.Envelope, f *Findings) authres.Field {
	field := authres.Field{Server: c.o.Host}
	add := func(r authres.Result) { field.Results = append(field.Results, r) }
	add(iprev(env.Origin))
	if f.Helo.Identity != "" {
		add(ofSPF(&f.Helo, env))
	}
	add(ofSPF(&f.From, env))
	if len(f.DKIM) == 0 {
		add(authres.Result{Method: "dkim", Result: "none", Reason: "the message has no signature"})
	}
	for _, r := range f.DKIM {
		result := authres.Result{Method: "dkim", Result: string(r.Status), Reason: r.Reason}
		for _, p := range []authres.Property{{Type: "header", Name: "d", Value: r.Domain}, {Type: "header", Name: "i", Value: r.Identity}, {Type: "header", Name: "s", Value: r.Selector},
			{Type: "header", Name: "a", Value: string(r.Algorithm)}, {Type: "header", Name: "b", Value: r.Signature}} {
			if p.Value != "" {
				result.Properties = append(result.Properties, p)
			}
		}
		add(result)
	}
	if f.ARC.Status != arc.None {
		result := authres.Result{Method: "arc", Result: string(f.ARC.Status), Reason: f.ARC.Reason,
			Properties: []authres.Property{{Type: "smtp", Name: "remote-ip", Value: env.Origin.Remote.Addr().Unmap().String()}}}
		if f.ARC.Status == arc.Pass { // RFC 8617 section 10.2
			result.Properties = append(result.Properties, authres.Property{Type: "header", Name: "oldest-pass", Value: strconv.Itoa(f.ARC.Intact)})
		}
		add(result)
	}
	result := authres.Result{Method: "dmarc", Result: string(f.DMARC.Result), Reason: f.DMARC.Reason}
	if f.DMARC.Author != "" {
		result.Properties = []authres.Property{{Type: "header", Name: "from", Value: f.DMARC.Author}}
	}
	add(result)
	return field
}

// iprev is RFC 8601 section 3: the session looked for the name.
func iprev(o mail.Origin) authres.Result {
	r := authres.Result{Method: "iprev", Result: "fail", Reason: "the address has no name that leads back to it",
		Properties: []authres.Property{{Type: "policy", Name: "iprev", Value: o.Remote.Addr().Unmap().String()}}}
	if o.Name != "" {
		r.Result, r.Reason = "pass", strings.TrimSuffix(o.Name, ".")
	}
	return r
}

func ofSPF(v *spf.Verdict, env *mail.Envelope) authres.Result {
	r := authres.Result{Method: "spf", Result: v.Result.String(), Reason: v.Reason}
	if v.Identity == spf.Helo {
		r.Properties = []authres.Property{{Type: "smtp", Name: "helo", Value: env.Origin.Helo}}
	} else {
		r.Properties = []authres.Property{{Type: "smtp", Name: "mailfrom", Value: env.From.String()}}
	}
	return r
}

// Field is the whole field, to be put before the message.
func (f *Findings) Field() []byte {
	return []byte(authres.Name + ": " + f.Results.String() + "\r\n")
}
