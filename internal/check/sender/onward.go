package sender

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/mail"
)

// Survives says whether a message passes DMARC at the next host if it is sent on as it
// is in body, and why; no reason is given where the author's domain asks for nothing.
// From us SPF speaks for nobody but us, so a signature of the author's must hold. Of
// what is not proven to be the author's here it is not asked: nobody may make it look
// better than it is. The error is one of reading.
func (c *Checker) Survives(ctx context.Context, f *Findings, body mail.Body) (ok bool, why string, err error) {
	v := &f.DMARC
	policy := v.Record.Tried(v.Policy)
	switch {
	case v.PolicyDomain == "" || policy == dmarc.NoPolicy:
		return true, "", nil
	case v.Result != dmarc.Pass && f.Pardon == "":
		return true, "it is not proven to be from " + v.Author, nil
	}
	var signed []string
	for _, a := range v.Aligned {
		if a.Method == "dkim" {
			signed = append(signed, a.Domain)
		}
	}
	wish := fmt.Sprintf("%s asks for %s (DMARC)", v.PolicyDomain, policy)
	if len(signed) == 0 {
		return false, wish + ", and no signature of " + v.Author + " goes along", nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	results, err := checkWith(ctx, body, c.dkim.Verify)
	if err != nil && !errors.Is(err, dkim.ErrHeader) {
		return false, "", fmt.Errorf("check the signatures of what is sent on: %w", err)
	}
	for _, r := range results { // what held a moment ago and cannot be asked for now holds
		if (r.Status == dkim.Pass || r.Status == dkim.TempError) && slices.Contains(signed, r.Domain) {
			return true, wish + ", and the signature of " + r.Domain + " goes along", nil
		}
	}
	return false, wish + ", and the signature of " + signed[0] + " does not hold for what is sent on", nil
}
