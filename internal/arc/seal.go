package arc

import (
	"fmt"
	"strings"

	"plic/internal/dkim"
)

// maxSets bounds a chain, RFC 8617 section 4.2.1.
const maxSets = 50

// Seal gives the three fields that extend a chain, to be put before the
// message: RFC 8617 section 5.1. The results are what we found of the message,
// as Authentication-Results has them, with our name first. A chain that cannot
// be extended gives nothing.
func Seal(s *dkim.Signer, m *dkim.Message, c Chain, results string) ([]byte, error) {
	n := len(c.Sets) + 1
	if n > maxSets || n > 1 && c.Sets[n-2].Said == Fail || n == 1 && c.Status == Fail {
		return nil, nil
	}
	aar := fmt.Appendf(nil, "%s: i=%d; %s\r\n", names[0], n, results)
	signed := m.Names()
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, "DKIM-Signature") {
			signed = append(signed, f.Name)
		}
	}
	ams, err := s.SignAs(m, names[1], fmt.Sprintf("i=%d", n), signed)
	if err != nil {
		return nil, err
	}
	next := Set{Instance: n, fields: [3]*dkim.Field{{Name: names[0], Raw: aar}, {Name: names[1], Raw: ams}, nil}}
	sets := append(c.Sets[:n-1:n-1], next)
	if c.Status == Fail {
		sets = sets[n-1:] // section 5.1.2: what is broken is not sealed again
	}
	seal, err := s.Seal(names[2], []string{
		fmt.Sprintf("i=%d", n), "cv=" + string(c.Status), "d=" + s.Domain, "s=" + s.Selector,
		fmt.Sprintf("t=%d", s.Now().Unix()),
	}, dkim.Relaxed, covered(sets))
	if err != nil {
		return nil, err
	}
	return append(append(seal, ams...), aar...), nil
}
