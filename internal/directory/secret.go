package directory

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"plic/internal/passwords"
	"plic/internal/sasl"
)

// Secret is what is kept of a password.
type Secret struct {
	Hash  string         // argon2id in the PHC string format, or {SCHEME} and a hash of another server; "" if it cannot be checked so
	SCRAM *sasl.Verifier // of SCRAM-SHA-256; nil if the account cannot use it
	// Also are verifiers for mechanisms that are off unless asked for, each
	// {SCHEME} and what Dovecot writes behind it.
	Also []string
}

// Cost is what it takes to make a Secret, and to guess at one.
type Cost struct {
	Memory     uint32 // KiB of argon2id
	Time       uint32 // passes of argon2id
	Threads    uint8  // of argon2id
	Iterations int    // of PBKDF2 in SCRAM
	SHA1, CRAM bool   // keep verifiers for SCRAM-SHA-1 and for CRAM-MD5 too
}

// DefaultCost is what OWASP recommends at least for argon2id, and what RFC 7677
// suggests for SCRAM: about 20 ms and 19 MiB for each check.
func DefaultCost() Cost {
	return Cost{Memory: 19 * 1024, Time: 2, Threads: 1, Iterations: sasl.DefaultIterations}
}

// Bounds of the parameters of a hash, so that a bad record cannot eat memory.
const (
	maxMemory  = 256 * 1024
	maxTime    = 32
	maxThreads = 16
)

const keySize = 32

// NewSecret makes a secret of a password, which it prepares.
func NewSecret(password string, c Cost) (Secret, error) { return Salted(password, c, nil) }

// Salted makes one with a salt for SCRAM that all passwords of an account share;
// nil makes a new one.
func Salted(password string, c Cost, salt []byte) (Secret, error) {
	prepared, err := sasl.Prepare(password)
	if err != nil {
		return Secret{}, err
	}
	s, err := verifiers(password, c, salt)
	if err != nil {
		return Secret{}, err
	}
	h := hash{Cost: c, salt: sasl.NewSalt()}
	if err := h.check(); err != nil {
		return Secret{}, err
	}
	h.key = h.derive(prepared, keySize)
	s.Hash = h.String()
	return s, nil
}

// Quick makes a secret of a password that we made up and nobody can guess, so
// that checking it need not be slow.
func Quick(password string, c Cost, salt []byte) (Secret, error) {
	s, err := verifiers(password, c, salt)
	if err == nil {
		s.Hash = passwords.Salted(password)
	}
	return s, err
}

// verifiers are what the mechanisms need that do not show the password.
func verifiers(password string, c Cost, salt []byte) (s Secret, err error) {
	if len(salt) == 0 {
		salt = sasl.NewSalt()
	}
	if s.SCRAM, err = sasl.DeriveVerifier(sasl.SCRAM, password, salt, c.Iterations); err != nil {
		return Secret{}, err
	}
	if c.SHA1 {
		v, err := sasl.DeriveVerifier(sasl.SCRAM1, password, salt, c.Iterations)
		if err != nil {
			return Secret{}, err
		}
		s.Also = append(s.Also, "{SCRAM-SHA-1}"+dovecotSCRAM(v))
	}
	if c.CRAM {
		text, err := sasl.NewCRAMKey(password).MarshalText()
		if err != nil {
			return Secret{}, err
		}
		s.Also = append(s.Also, "{CRAM-MD5}"+string(text))
	}
	return s, nil
}

// Verify says whether the password, prepared, is the one of the PHC string, or
// of a hash of another server, {SCHEME}hash.
func Verify(phc, prepared string) (bool, error) {
	if strings.HasPrefix(phc, "{") {
		return passwords.Verify(phc, prepared)
	}
	h, err := parseHash(phc)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(h.derive(prepared, uint32(len(h.key))), h.key) == 1, nil
}

type hash struct {
	Cost
	salt, key []byte
}

func (h *hash) derive(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.Time, h.Memory, h.Threads, size)
}

func (h *hash) check() error {
	if h.Memory < 8*uint32(h.Threads) || h.Memory > maxMemory || h.Time < 1 || h.Time > maxTime || h.Threads < 1 || h.Threads > maxThreads {
		return fmt.Errorf("argon2id with m=%d t=%d p=%d: out of bounds", h.Memory, h.Time, h.Threads)
	}
	return nil
}

// String is the PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func (h *hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Time, h.Threads, b64(h.salt), b64(h.key))
}

func parseHash(phc string) (*hash, error) {
	parts := strings.Split(phc, "$")
	if len(phc) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errors.New("the password hash is not argon2id")
	}
	var h hash
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.Memory, &h.Time, &h.Threads); n != 3 || err != nil {
		return nil, errors.New("the password hash has bad parameters")
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.key) < 16 {
		return nil, errors.New("the password hash has a bad salt or key")
	}
	return &h, nil
}

// Dummy is the hash of no password, of the given cost: what to check the
// password of somebody against who does not exist.
func Dummy(c Cost) string {
	h := hash{Cost: c, salt: sasl.NewSalt(), key: make([]byte, keySize)}
	rand.Read(h.key)
	return h.String()
}
