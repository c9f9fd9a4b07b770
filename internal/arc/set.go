package arc

import (
	"errors"
	"fmt"
	"strings"

	"plic/internal/dkim"
)

// Set is what one handler left on the message.
type Set struct {
	Instance         int
	Domain, Selector string // of the seal
	Said             Status // cv= of the seal: what its maker found of the chain before
	Results          string // ARC-Authentication-Results without i=, unfolded

	fields [3]*dkim.Field // results, signature, seal
}

// names are the fields of a set, in the order in which they are hashed.
var names = [3]string{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"}

// covered are the fields that the last seal of the sets signs, but for itself.
func covered(sets []Set) []dkim.Field {
	var out []dkim.Field
	for i := range sets {
		for k, f := range sets[i].fields {
			if k < 2 || i < len(sets)-1 {
				out = append(out, *f)
			}
		}
	}
	return out
}

func tagsOf(raw []byte) (dkim.Tags, error) {
	_, value, _ := strings.Cut(string(raw), ":")
	return dkim.ParseTags(value)
}

// collect finds the sets of a message, and what is wrong with their form.
func collect(m *dkim.Message) ([]Set, error) {
	var sets []Set
	for i := range m.Fields {
		f := &m.Fields[i]
		kind := kindOf(f.Name)
		if kind < 0 {
			continue
		}
		n, err := instance(f.Raw, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[kind], err)
		}
		for len(sets) < n {
			sets = append(sets, Set{Instance: len(sets) + 1})
		}
		if sets[n-1].fields[kind] != nil {
			return nil, fmt.Errorf("%s %d is there twice", names[kind], n)
		}
		sets[n-1].fields[kind] = f
	}
	for i := range sets {
		if err := sets[i].read(); err != nil {
			return nil, fmt.Errorf("set %d: %w", i+1, err)
		}
	}
	return sets, nil
}

func kindOf(name string) int {
	for k := range names {
		if strings.EqualFold(name, names[k]) {
			return k
		}
	}
	return -1
}

// instance reads the i= of a field; in the results it stands first.
func instance(raw []byte, kind int) (int, error) {
	_, value, _ := strings.Cut(string(raw), ":")
	if kind > 0 {
		tags, err := dkim.ParseTags(value)
		if err != nil {
			return 0, err
		}
		return dkim.ParseInstance(tags["i"])
	}
	first, _, _ := strings.Cut(value, ";")
	name, number, _ := strings.Cut(first, "=")
	if strings.TrimSpace(name) != "i" {
		return 0, errors.New("it does not begin with i=")
	}
	return dkim.ParseInstance(strings.TrimSpace(number))
}

// read takes a set apart and checks its form, RFC 8617 section 5.2 step 3.
func (s *Set) read() error {
	for k, f := range s.fields {
		if f == nil {
			return fmt.Errorf("%s is missing", names[k])
		}
	}
	tags, err := tagsOf(s.fields[2].Raw)
	if err != nil {
		return err
	}
	s.Domain, s.Selector, s.Said = strings.ToLower(tags["d"]), tags["s"], Status(strings.ToLower(tags["cv"]))
	_, value, _ := strings.Cut(string(s.fields[0].Raw), ";")
	s.Results = strings.Join(strings.Fields(value), " ")
	switch {
	case s.Domain == "" || s.Selector == "":
		return errors.New("the seal names no key")
	case s.Said != None && s.Said != Pass && s.Said != Fail,
		s.Said == Pass && s.Instance == 1, s.Said == None && s.Instance > 1:
		return fmt.Errorf("the seal says cv=%.20q", tags["cv"])
	}
	return nil
}
