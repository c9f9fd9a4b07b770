package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"
)

// Iterations of PBKDF2. RFC 7677 section 4 wants at least 4096 and suggests
// 15000; a server that asks a client for more than the last wants to hurt it.
const (
	MinIterations     = 4096
	DefaultIterations = 15000
	MaxIterations     = 2_000_000
)

// saltSize is the size of a salt in octets.
const saltSize = 16

// Verifier is what a server keeps of a password for SCRAM-SHA-256: enough to
// check a proof, not enough to make one.
type Verifier struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// NewVerifier makes a verifier with a random salt; 0 iterations are the
// default. The password is prepared.
func NewVerifier(password string, iterations int) (*Verifier, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return deriveVerifier(password, salt, iterations)
}

func deriveVerifier(password string, salt []byte, iterations int) (*Verifier, error) {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	if iterations < MinIterations || iterations > MaxIterations {
		return nil, fmt.Errorf("%d iterations: want %d to %d", iterations, MinIterations, MaxIterations)
	}
	password, err := Prepare(password)
	if err != nil {
		return nil, err
	}
	client, err := scram.SHA256.NewClientUnprepped("", password, "")
	if err != nil {
		return nil, err
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return nil, err
	}
	return &Verifier{iterations, salt, c.StoredKey, c.ServerKey}, nil
}

// FakeVerifier is the verifier of somebody who does not exist: no proof fits
// it, and it is the same whenever it is asked for, so that a guesser learns
// nothing from it. The secret is the server's own, the iterations those of the
// accounts that exist; 0 is the default.
func FakeVerifier(secret []byte, user string, iterations int) *Verifier {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	derive := func(label string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(label + "\x00" + user))
		return mac.Sum(nil)
	}
	return &Verifier{iterations, derive("salt")[:saltSize], derive("stored"), derive("server")}
}

// MarshalText writes the verifier in the form of RFC 5803:
// SCRAM-SHA-256$iterations:salt$stored:server.
func (v *Verifier) MarshalText() ([]byte, error) {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "%s$%d:%s$%s:%s", SCRAM, v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey)), nil
}

// UnmarshalText reads what MarshalText wrote.
func (v *Verifier) UnmarshalText(text []byte) error {
	bad := errors.New("bad SCRAM verifier")
	parts := strings.FieldsFunc(string(text), func(r rune) bool { return r == '$' || r == ':' })
	if len(parts) != 5 || parts[0] != SCRAM {
		return bad
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < MinIterations || n > MaxIterations {
		return bad
	}
	var raw [3][]byte
	for i := range raw {
		if raw[i], err = base64.StdEncoding.DecodeString(parts[2+i]); err != nil {
			return bad
		}
	}
	if len(raw[0]) == 0 || len(raw[1]) != sha256.Size || len(raw[2]) != sha256.Size {
		return bad
	}
	*v = Verifier{n, raw[0], raw[1], raw[2]}
	return nil
}

// SCRAMOptions are what the server's side of SCRAM needs.
type SCRAMOptions struct {
	// Lookup finds a user's verifier. For a user who does not exist it gives
	// FakeVerifier; its errors end the exchange and are passed on.
	Lookup func(user string) (*Verifier, error)
	// Plus says that the client asked for SCRAM-SHA-256-PLUS.
	Plus bool
	// Bindings are those of the connection; if there are any, PLUS was offered.
	Bindings []Binding
}

type scramServer struct {
	o     SCRAMOptions
	steps int // responses taken
	asked bool
	conv  *scram.ServerConversation
	err   error // of Lookup
}

// NewSCRAM begins an exchange of SCRAM-SHA-256 or SCRAM-SHA-256-PLUS.
func NewSCRAM(o SCRAMOptions) Server { return &scramServer{o: o} }

// Next takes the client's first and final message, and its empty last word.
func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	if len(response) > MaxResponse {
		return nil, false, ErrTooLong
	}
	if s.steps == 0 && response == nil && !s.asked {
		s.asked = true
		return []byte{}, false, nil
	}
	s.steps++
	switch s.steps {
	case 1:
		challenge, err := s.first(string(response))
		return challenge, false, err
	case 2:
		challenge, err := s.step(string(response))
		return challenge, false, err
	case 3: // the client has checked us and has nothing to add
		if len(response) != 0 {
			return nil, false, fmt.Errorf("%w: more than SCRAM has to say", ErrMalformed)
		}
		if s.conv.Valid() {
			return nil, true, nil
		}
	}
	return nil, false, ErrFailed
}

// first reads the gs2 header for what the library leaves to us: several
// bindings, of which the client chooses one, and the rule that PLUS and its
// flag belong together, RFC 5802 section 6.
func (s *scramServer) first(text string) ([]byte, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%w: SCRAM is UTF-8", ErrMalformed)
	}
	server, err := scram.SHA256.NewServer(s.lookup)
	if err != nil {
		return nil, err
	}
	flag, _, _ := strings.Cut(text, ",")
	kind, binds := strings.CutPrefix(flag, "p=")
	switch {
	case binds != s.o.Plus:
		return nil, fmt.Errorf("%w: channel binding does not go with the mechanism", ErrFailed)
	case binds:
		b, ok := find(s.o.Bindings, kind)
		if !ok {
			return nil, fmt.Errorf("%w: no channel binding %.32q here", ErrFailed, kind)
		}
		s.conv = server.NewConversationWithChannelBindingRequired(b)
	case flag == "y" && len(s.o.Bindings) > 0:
		return nil, fmt.Errorf("%w: somebody hid %s from the client", ErrFailed, SCRAMPlus)
	default:
		s.conv = server.NewConversation()
	}
	return s.step(text)
}

func (s *scramServer) lookup(user string) (scram.StoredCredentials, error) {
	if user == "" || len(user) > MaxName {
		return scram.StoredCredentials{}, errors.New("bad user name")
	}
	v, err := s.o.Lookup(user)
	if err != nil {
		s.err = err
		return scram.StoredCredentials{}, err
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
	}, nil
}

func (s *scramServer) step(text string) ([]byte, error) {
	answer, err := s.conv.Step(text)
	switch {
	case s.err != nil:
		return nil, s.err
	case err == nil:
		return []byte(answer), nil
	case answer == scram.ErrInvalidProof, answer == scram.ErrChannelBindingsDontMatch:
		return nil, fmt.Errorf("%w: %s", ErrFailed, answer)
	}
	return nil, fmt.Errorf("%w: not SCRAM", ErrMalformed)
}

// Identity is what the first message said.
func (s *scramServer) Identity() (string, string) {
	if s.conv == nil {
		return "", ""
	}
	return s.conv.AuthzID(), s.conv.Username()
}
