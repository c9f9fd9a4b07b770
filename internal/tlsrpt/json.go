package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"plic/internal/wrapped"
)

// MaxSize bounds a report once it is unpacked: those of the largest senders
// have some hundred kilobytes.
const MaxSize = 16 << 20

// texts is a list that some write as one text.
type texts []string

// UnmarshalJSON reads a list or a text.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// Gzip writes the report as it is sent, RFC 8460 section 4.1.
func (r *Report) Gzip() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Read finds the report in what people have of one: a mail that carries it, or
// its file, packed or not. What it says is a stranger's: it has the form of a report
// and no more octets than MaxSize, and may still be untrue.
func Read(in io.Reader) (*Report, error) {
	// Some send one as any packed file.
	kind := wrapped.Kind{Name: "a TLS report", Max: MaxSize, First: '{', Types: []string{
		"application/tlsrpt+gzip", "application/tlsrpt+json", "application/gzip", "application/x-gzip", "application/json",
	}}
	text, err := kind.Read(in)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("this is no TLS report: %w", err)
	}
	return r, r.check()
}

func (r *Report) check() error {
	switch {
	case r.ID == "" || r.Organization == "" && r.Contact == "":
		return errors.New("this is no TLS report: it says neither whose it is nor which")
	case r.Range.Start.IsZero() || r.Range.End.Before(r.Range.Start):
		return errors.New("this is no TLS report: it names no span of time")
	case len(r.Policies) == 0 || len(r.Policies) > mostPolicies:
		return fmt.Errorf("this is no TLS report: it has %d policies", len(r.Policies))
	}
	for i := range r.Policies {
		f := &r.Policies[i]
		if f.Policy.Domain == "" || f.Summary.Success < 0 || f.Summary.Failure < 0 {
			return errors.New("this is no TLS report: a policy has no domain or counts less than nothing")
		}
		if len(f.Failures) > mostFailureDetails {
			f.Failures = f.Failures[:mostFailureDetails]
		}
	}
	return nil
}
