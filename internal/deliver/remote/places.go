package remote

import (
	"context"
	"fmt"

	"plic/internal/mail"
)

// Places tells where mail for a hop would go, in the order of trying: "host at
// address". The error says why it would go nowhere.
func (t *Transport) Places(ctx context.Context, hop mail.Hop) ([]string, error) {
	places, bad := t.places(ctx, hop)
	if bad != nil {
		return nil, &mail.Failure{Op: "find the hosts of " + hop.Host, Status: bad.status, Err: bad.err}
	}
	var list []string
	for _, p := range places {
		list = append(list, fmt.Sprintf("%s at %s", p.host, p))
	}
	return list, nil
}
