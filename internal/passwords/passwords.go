// Package passwords checks passwords against what other servers keep of them:
// {SCHEME} before a hash, as Dovecot and LDAP directories write it, and the
// kinds of crypt(3). What it may cost is bounded, so that a bad record cannot
// eat memory or time.
//
// RFC 2307 (userPassword), RFC 5802 and 7677 (SCRAM).
package passwords

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	lpbkdf2 "github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"plic/internal/sasl"
)

// The bounds of what a check may cost.
const (
	maxStored     = 1024
	maxIterations = 2000000
	maxMemory     = 256 * 1024 // KiB
	maxRounds     = 32         // of argon2
	maxWork       = 17         // log2 of bcrypt's and scrypt's
)

// ErrUnknown is the answer to a hash of a kind that we do not know, or that
// would cost too much.
var ErrUnknown = errors.New("the password hash is of no kind that can be checked")

// Verify says whether a password is the one that a hash was made of.
func Verify(stored, password string) (bool, error) {
	if len(stored) > maxStored {
		return false, ErrUnknown
	}
	scheme, rest := "CRYPT", stored
	if strings.HasPrefix(stored, "{") {
		name, after, ok := strings.Cut(stored[1:], "}")
		if !ok {
			return false, ErrUnknown
		}
		scheme, rest = strings.ToUpper(name), after
	}
	scheme, encoding, _ := strings.Cut(scheme, ".")
	if d, ok := digestOf(scheme); ok {
		return d.verify(rest, password, encoding)
	}
	switch scheme {
	case "PLAIN", "CLEAR", "CLEARTEXT":
		return same([]byte(rest), []byte(password)), nil
	case "CRYPT", "MD5-CRYPT", "MD5", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "ARGON2I", "ARGON2ID", "SCRYPT":
		return verifyCrypt(rest, password)
	case sasl.CRAM, "HMAC-MD5":
		var key sasl.CRAMKey
		if err := key.UnmarshalText([]byte(rest)); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return key == sasl.NewCRAMKey(password), nil
	case "PBKDF2":
		return verifyPBKDF2(rest, password)
	case "SCRAM-SHA-256":
		return verifySCRAM(rest, password, sha256.New)
	case "SCRAM-SHA-1":
		return verifySCRAM(rest, password, sha1.New)
	}
	return false, fmt.Errorf("%w: {%.30s}", ErrUnknown, scheme)
}

// Salted is {SSHA512} of a password with a random salt: quick to check, and so
// for passwords only that nobody can guess.
func Salted(password string) string {
	salt := sasl.NewSalt()
	sum := sha512.Sum512(append([]byte(password), salt...))
	return "{SSHA512}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// digest is a plain hash, with salt behind it or without.
type digest struct {
	new    func() hash.Hash
	salted bool
	hex    bool // written so if nothing is said
}

func digestOf(scheme string) (digest, bool) {
	switch scheme {
	case "SHA", "SHA1":
		return digest{new: sha1.New}, true
	case "SHA256":
		return digest{new: sha256.New}, true
	case "SHA512":
		return digest{new: sha512.New}, true
	case "SSHA":
		return digest{new: sha1.New, salted: true}, true
	case "SSHA256":
		return digest{new: sha256.New, salted: true}, true
	case "SSHA512":
		return digest{new: sha512.New, salted: true}, true
	case "SMD5":
		return digest{new: md5.New, salted: true}, true
	case "LDAP-MD5":
		return digest{new: md5.New}, true
	case "PLAIN-MD5":
		return digest{new: md5.New, hex: true}, true
	}
	return digest{}, false
}

func (d digest) verify(text, password, encoding string) (bool, error) {
	var raw []byte
	var err error
	switch {
	case encoding == "HEX" || encoding == "" && d.hex:
		raw, err = hex.DecodeString(strings.ToLower(text))
	case encoding == "" || encoding == "B64" || encoding == "BASE64":
		raw, err = base64.StdEncoding.DecodeString(text)
	default:
		return false, fmt.Errorf("%w: encoding %.10s", ErrUnknown, encoding)
	}
	h := d.new()
	size := h.Size()
	if err != nil || len(raw) < size || !d.salted && len(raw) != size {
		return false, fmt.Errorf("%w: it is cut", ErrUnknown)
	}
	h.Write([]byte(password))
	h.Write(raw[size:])
	return same(h.Sum(nil), raw[:size]), nil
}

// verifyCrypt checks the kinds of crypt(3) that begin with a dollar.
func verifyCrypt(text, password string) (bool, error) {
	if err := affordable(text); err != nil {
		return false, err
	}
	d := crypt.NewDecoder()
	if err := errors.Join(argon2.RegisterDecoder(d), bcrypt.RegisterDecoder(d), md5crypt.RegisterDecoder(d),
		lpbkdf2.RegisterDecoder(d), scrypt.RegisterDecoder(d), sha1crypt.RegisterDecoder(d), shacrypt.RegisterDecoder(d)); err != nil {
		return false, err
	}
	found, err := d.Decode(text)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	ok, err := found.MatchAdvanced(password)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return ok, nil
}

// affordable looks at the parameters of a hash before it is computed.
func affordable(text string) error {
	parts := strings.Split(text, "$")
	if len(parts) < 3 || parts[0] != "" {
		return fmt.Errorf("%w: it is none of crypt(3) with a dollar", ErrUnknown)
	}
	for _, list := range parts[2:] {
		for pair := range strings.SplitSeq(list, ",") {
			name, value, ok := strings.Cut(pair, "=")
			n, err := strconv.Atoi(value)
			if !ok || err != nil {
				continue
			}
			switch {
			case name == "rounds" && n > maxIterations, name == "m" && n > maxMemory, name == "t" && n > maxRounds,
				name == "ln" && n > maxWork, name == "r" && n > 16, name == "p" && n > 16:
				return fmt.Errorf("%w: it would cost too much", ErrUnknown)
			}
		}
	}
	if parts[1] == "y" && !yescryptAffordable(parts[2]) {
		return fmt.Errorf("%w: it would cost too much", ErrUnknown)
	}
	if n, err := strconv.Atoi(parts[2]); err == nil && strings.HasPrefix(parts[1], "2") && n > maxWork {
		return fmt.Errorf("%w: it would cost too much", ErrUnknown)
	}
	if n, err := strconv.Atoi(parts[2]); err == nil && (strings.HasPrefix(parts[1], "pbkdf2") || parts[1] == "sha1") && n > maxIterations {
		return fmt.Errorf("%w: it would cost too much", ErrUnknown)
	}
	return nil
}

// yescryptAffordable reads the flags of yescrypt, the binary logarithm of N and
// r, in the letters of crypt(3). No more than these three are in use.
func yescryptAffordable(text string) bool {
	const letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if len(text) != 3 {
		return false
	}
	n, r := strings.IndexByte(letters, text[1])+1, strings.IndexByte(letters, text[2])+1
	return n > 0 && r > 0 && n <= maxWork && 128*r<<n <= maxMemory*1024
}

// verifyPBKDF2 checks Dovecot's $1$salt$rounds$hex, which is of SHA-1.
func verifyPBKDF2(text, password string) (bool, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "1" {
		return verifyCrypt(text, password)
	}
	n, err := strconv.Atoi(parts[3])
	want, err2 := hex.DecodeString(parts[4])
	if err != nil || err2 != nil || n < 1 || n > maxIterations || len(want) != sha1.Size {
		return false, fmt.Errorf("%w: bad parameters", ErrUnknown)
	}
	got, err := pbkdf2.Key(sha1.New, password, []byte(parts[2]), n, sha1.Size)
	return err == nil && same(got, want), err
}

// verifySCRAM checks a password against what SCRAM needs: iterations,salt,
// StoredKey,ServerKey.
func verifySCRAM(text, password string, h func() hash.Hash) (bool, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		return false, fmt.Errorf("%w: it is cut", ErrUnknown)
	}
	n, err := strconv.Atoi(parts[0])
	salt, err2 := base64.StdEncoding.DecodeString(parts[1])
	stored, err3 := base64.StdEncoding.DecodeString(parts[2])
	if errors.Join(err, err2, err3) != nil || n < 1 || n > maxIterations || len(stored) != h().Size() {
		return false, fmt.Errorf("%w: bad parameters", ErrUnknown)
	}
	salted, err := pbkdf2.Key(h, password, salt, n, h().Size())
	if err != nil {
		return false, err
	}
	mac := hmac.New(h, salted)
	mac.Write([]byte("Client Key"))
	key := h()
	key.Write(mac.Sum(nil))
	return same(key.Sum(nil), stored), nil
}
