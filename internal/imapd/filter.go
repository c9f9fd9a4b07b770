package imapd

import (
	"context"
	"strings"
)

// filter finds a search that is kept as an annotation of the server, RFC 5466
// section 3.2: one's own, or else one for all.
func (c *conn) filter(ctx context.Context, name string) (string, error) {
	server, err := c.annotated(ctx, "")
	if err != nil {
		return "", err
	}
	for _, tree := range [...]string{"/private", "/shared"} {
		found, err := server.find(ctx, tree+"/filters/values/"+strings.ToLower(name), 0)
		if err != nil {
			return "", err
		}
		if len(found) > 0 && !found[0].None {
			return found[0].Text, nil
		}
	}
	return "", no("UNDEFINED-FILTER "+name, "there is no filter of that name")
}
