package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
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

// Verifier is what a server keeps of a password for SCRAM: enough to check a
// proof, not enough to make one. Its keys are of the size of its hash, which
// tells SCRAM-SHA-1 from SCRAM-SHA-256.
type Verifier struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// hashOf is the hash of a mechanism of SCRAM, with PLUS or without.
func hashOf(mechanism string) (scram.HashGeneratorFcn, int) {
	if mechanism == SCRAM1 || mechanism == SCRAM1Plus {
		return scram.SHA1, sha1.Size
	}
	return scram.SHA256, sha256.Size
}

// NewVerifier makes a verifier for SCRAM-SHA-256 with a random salt; 0
// iterations are the default. The password is prepared.
func NewVerifier(password string, iterations int) (*Verifier, error) {
	return DeriveVerifier(SCRAM, password, NewSalt(), iterations)
}

// NewSalt is random.
func NewSalt() []byte {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return salt
}

// DeriveVerifier makes a verifier for a mechanism, SCRAM or SCRAM1, with a salt
// that is given: all passwords of one account share it, since a server has to
// name the salt before it can know which of them a client will use.
func DeriveVerifier(mechanism, password string, salt []byte, iterations int) (*Verifier, error) {
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
	hash, _ := hashOf(mechanism)
	client, err := hash.NewClientUnprepped("", password, "")
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
func FakeVerifier(mechanism string, secret []byte, user string, iterations int) *Verifier {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	derive := func(label string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(label + "\x00" + user))
		return mac.Sum(nil)
	}
	_, size := hashOf(mechanism)
	return &Verifier{iterations, derive("salt")[:saltSize], derive("stored")[:size], derive("server")[:size]}
}

// Fits says whether the verifier is one for the mechanism.
func (v *Verifier) Fits(mechanism string) bool {
	_, size := hashOf(mechanism)
	return len(v.StoredKey) == size
}

// MarshalText writes the verifier in the form of RFC 5803:
// SCRAM-SHA-256$iterations:salt$stored:server.
func (v *Verifier) MarshalText() ([]byte, error) {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "%s$%d:%s$%s:%s", v.mechanism(), v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey)), nil
}

func (v *Verifier) mechanism() string {
	if v.Fits(SCRAM1) {
		return SCRAM1
	}
	return SCRAM
}

// UnmarshalText reads what MarshalText wrote.
func (v *Verifier) UnmarshalText(text []byte) error {
	bad := errors.New("bad SCRAM verifier")
	parts := strings.FieldsFunc(string(text), func(r rune) bool { return r == '$' || r == ':' })
	if len(parts) != 5 || parts[0] != SCRAM && parts[0] != SCRAM1 {
		return bad
	}
	_, size := hashOf(parts[0])
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
	if len(raw[0]) == 0 || len(raw[1]) != size || len(raw[2]) != size {
		return bad
	}
	*v = Verifier{n, raw[0], raw[1], raw[2]}
	return nil
}

// SCRAMOptions are what the server's side of SCRAM needs.
type SCRAMOptions struct {
	// Mechanism is the one that the client has asked for.
	Mechanism string
	// Lookup finds the verifiers of a user, one for each password, all of one
	// salt and one number of iterations, which a client is told before it is
	// known which of them it will use. For a user who does not exist it gives
	// FakeVerifier; its errors end the exchange and are passed on.
	Lookup func(user string) ([]*Verifier, error)
	// Bindings are those of the connection; if there are any, PLUS was offered.
	Bindings []Binding
}

// SCRAMServer is the server's side of an exchange of SCRAM.
type SCRAMServer struct {
	o       SCRAMOptions
	steps   int // responses taken
	asked   bool
	nonce   string
	found   []*Verifier
	talks   []*scram.ServerConversation // one for each verifier, all saying the same at first
	matched int
	err     error // of Lookup
}

// NewSCRAM begins an exchange of SCRAM.
func NewSCRAM(o SCRAMOptions) *SCRAMServer {
	return &SCRAMServer{o: o, nonce: rand.Text(), matched: -1}
}

// Next takes the client's first and final message, and its empty last word.
func (s *SCRAMServer) Next(response []byte) ([]byte, bool, error) {
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
		challenge, err := s.final(string(response))
		return challenge, false, err
	case 3: // the client has checked us and has nothing to add
		if len(response) != 0 {
			return nil, false, fmt.Errorf("%w: more than SCRAM has to say", ErrMalformed)
		}
		if s.matched >= 0 {
			return nil, true, nil
		}
	}
	return nil, false, ErrFailed
}

// first reads the gs2 header for what the library leaves to us: several
// bindings, of which the client chooses one, and the rule that PLUS and its
// flag belong together, RFC 5802 section 6.
func (s *SCRAMServer) first(text string) ([]byte, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%w: SCRAM is UTF-8", ErrMalformed)
	}
	flag, _, _ := strings.Cut(text, ",")
	kind, binds := strings.CutPrefix(flag, "p=")
	var bound scram.ChannelBinding
	switch {
	case binds != strings.HasSuffix(s.o.Mechanism, "-PLUS"):
		return nil, fmt.Errorf("%w: channel binding does not go with the mechanism", ErrFailed)
	case binds:
		var ok bool
		if bound, ok = find(s.o.Bindings, kind); !ok {
			return nil, fmt.Errorf("%w: no channel binding %.32q here", ErrFailed, kind)
		}
	case flag == "y" && len(s.o.Bindings) > 0:
		return nil, fmt.Errorf("%w: somebody hid PLUS from the client", ErrFailed)
	}
	challenge, err := s.talk(text, bound, 0)
	for i := 1; i < len(s.found) && err == nil; i++ {
		_, err = s.talk(text, bound, i)
	}
	return challenge, err
}

// talk begins a conversation about the verifier with this number. They have the
// nonce in common, so that all give the client the same first answer.
func (s *SCRAMServer) talk(text string, bound scram.ChannelBinding, i int) ([]byte, error) {
	hash, _ := hashOf(s.o.Mechanism)
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) { return s.credentials(user, i) })
	if err != nil {
		return nil, err
	}
	server.WithNonceGenerator(func() string { return s.nonce })
	talk := server.NewConversation()
	if bound.Type != "" {
		talk = server.NewConversationWithChannelBindingRequired(bound)
	}
	s.talks = append(s.talks, talk)
	return s.step(talk, text)
}

func (s *SCRAMServer) credentials(user string, i int) (scram.StoredCredentials, error) {
	if user == "" || len(user) > MaxName {
		return scram.StoredCredentials{}, errors.New("bad user name")
	}
	if s.found == nil {
		if s.found, s.err = s.o.Lookup(user); s.err != nil {
			return scram.StoredCredentials{}, s.err
		}
		if s.err = alike(s.o.Mechanism, s.found); s.err != nil {
			return scram.StoredCredentials{}, s.err
		}
	}
	v := s.found[i]
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
	}, nil
}

// alike holds Lookup to its word.
func alike(mechanism string, all []*Verifier) error {
	if len(all) == 0 {
		return errors.New("no verifier for " + mechanism)
	}
	if slices.ContainsFunc(all, func(v *Verifier) bool {
		return !v.Fits(mechanism) || v.Iterations != all[0].Iterations || string(v.Salt) != string(all[0].Salt)
	}) {
		return errors.New("the verifiers for " + mechanism + " differ in hash, salt or iterations")
	}
	return nil
}

// final looks for the verifier that the proof fits, and at all of them, so that
// it takes as long whichever it is.
func (s *SCRAMServer) final(text string) (answer []byte, err error) {
	for i, talk := range s.talks {
		said, e := s.step(talk, text)
		if e == nil && talk.Valid() {
			s.matched, answer = i, said
		} else if i == 0 || err == nil {
			err = e
		}
	}
	if s.matched >= 0 {
		return answer, nil
	}
	if err == nil {
		err = ErrFailed
	}
	return nil, err
}

func (s *SCRAMServer) step(talk *scram.ServerConversation, text string) ([]byte, error) {
	answer, err := talk.Step(text)
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

// Matched is, once done, the number of the verifier that the proof fits.
func (s *SCRAMServer) Matched() int { return s.matched }

// Identity is what the first message said.
func (s *SCRAMServer) Identity() (string, string) {
	if len(s.talks) == 0 {
		return "", ""
	}
	return s.talks[0].AuthzID(), s.talks[0].Username()
}
