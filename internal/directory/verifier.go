package directory

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"plic/internal/sasl"
)

// Verifier finds what a mechanism of SCRAM needs: kept beside the hash, or in
// the place of it as Dovecot keeps {SCRAM-SHA-256}. nil if there is none.
func (s Secret) Verifier(mechanism string) *sasl.Verifier {
	if s.SCRAM != nil && s.SCRAM.Fits(mechanism) {
		return s.SCRAM
	}
	for _, text := range append([]string{s.Hash}, s.Also...) {
		scheme, rest := split(text)
		if scheme != sasl.SCRAM && scheme != sasl.SCRAM1 {
			continue
		}
		if v, err := parseSCRAM(rest); err == nil && v.Fits(mechanism) {
			return v
		}
	}
	return nil
}

// CRAMKey finds what CRAM-MD5 needs: a verifier, or the password in plain.
func (s Secret) CRAMKey() (key sasl.CRAMKey, ok bool) {
	if password, plain := s.Plain(); plain {
		return sasl.NewCRAMKey(password), true
	}
	for _, text := range append([]string{s.Hash}, s.Also...) {
		if scheme, rest := split(text); scheme == sasl.CRAM || scheme == "HMAC-MD5" {
			return key, key.UnmarshalText([]byte(rest)) == nil
		}
	}
	return key, false
}

// Plain is the password itself, where that is what is kept.
func (s Secret) Plain() (password string, ok bool) {
	switch scheme, rest := split(s.Hash); scheme {
	case "PLAIN", "CLEAR", "CLEARTEXT":
		return rest, rest != ""
	}
	return "", false
}

// Outdated says whether a secret lacks something that a new one would have.
func (s Secret) Outdated(c Cost) bool {
	h, err := parseHash(s.Hash)
	_, cram := s.CRAMKey()
	return err != nil || h.Memory != c.Memory || h.Time != c.Time || h.Threads != c.Threads || s.Verifier(sasl.SCRAM) == nil ||
		c.SHA1 && s.Verifier(sasl.SCRAM1) == nil || c.CRAM && !cram
}

func split(text string) (scheme, rest string) {
	if strings.HasPrefix(text, "{") {
		if scheme, rest, ok := strings.Cut(text[1:], "}"); ok {
			return strings.ToUpper(scheme), rest
		}
	}
	return "", text
}

// dovecotSCRAM writes a verifier as Dovecot does behind {SCRAM-SHA-1}.
func dovecotSCRAM(v *sasl.Verifier) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d,%s,%s,%s", v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey))
}

func parseSCRAM(text string) (*sasl.Verifier, error) {
	bad := fmt.Errorf("%w: not a verifier of SCRAM", ErrInvalid)
	parts := strings.Split(text, ",")
	if len(parts) != 4 || len(text) > 1024 {
		return nil, bad
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < sasl.MinIterations || n > sasl.MaxIterations {
		return nil, bad
	}
	var raw [3][]byte
	for i := range raw {
		if raw[i], err = base64.StdEncoding.DecodeString(parts[i+1]); err != nil {
			return nil, bad
		}
	}
	v := &sasl.Verifier{Iterations: n, Salt: raw[0], StoredKey: raw[1], ServerKey: raw[2]}
	if len(v.Salt) == 0 || len(v.ServerKey) != len(v.StoredKey) || !v.Fits(sasl.SCRAM) && !v.Fits(sasl.SCRAM1) {
		return nil, bad
	}
	return v, nil
}
