package imapd

import (
	"context"
	"strings"

	"plic/internal/imap"
)

// maxFilters bounds the filters that a search reads, filters in filters included.
const maxFilters = 20

// expandFilters puts the searches that are kept under names, RFC 5466, in the
// place of the keys that name them: what holds for a search holds for what it
// takes from a filter.
func (c *conn) expandFilters(ctx context.Context, q *imap.Search) error {
	left := maxFilters
	return c.expandFilter(ctx, q, &q.Key, &left)
}

func (c *conn) expandFilter(ctx context.Context, q *imap.Search, k *imap.SearchKey, left *int) error {
	if k.Op == imap.SearchFilter {
		if *left--; *left < 0 {
			return no("", "the filter asks for more than %d filters, or for itself", maxFilters)
		}
		text, err := c.filter(ctx, k.Text)
		if err != nil {
			return err
		}
		s := imap.NewScanner([]byte(text), true)
		kept := s.SearchProgram()
		if err := s.End(); err != nil {
			return no("", "the filter %.100s is no search: %v", k.Text, err)
		}
		*k = kept.Key
		q.ModSeq, q.Fuzzy = q.ModSeq || kept.ModSeq, q.Fuzzy || kept.Fuzzy
	}
	for i := range k.Keys {
		if err := c.expandFilter(ctx, q, &k.Keys[i], left); err != nil {
			return err
		}
	}
	return nil
}

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
