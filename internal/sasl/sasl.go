// Package sasl holds the step machines of SASL mechanisms (RFC 4422). For both
// sides: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM-SHA-256 and
// SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with the channel bindings of RFC 5929
// and RFC 9266. For the server's: SCRAM-SHA-1, CRAM-MD5 (RFC 2195), EXTERNAL,
// ANONYMOUS (RFC 4505), OAUTHBEARER (RFC 7628) and XOAUTH2. They do no I/O and
// know no base64: that is the protocols' part.
package sasl

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
)

// The names of the mechanisms.
const (
	Plain      = "PLAIN"
	Login      = "LOGIN"
	SCRAM      = "SCRAM-SHA-256"
	SCRAMPlus  = "SCRAM-SHA-256-PLUS"
	SCRAM1     = "SCRAM-SHA-1"
	SCRAM1Plus = "SCRAM-SHA-1-PLUS"
	CRAM       = "CRAM-MD5"
	External   = "EXTERNAL"
	Bearer     = "OAUTHBEARER"
	XBearer    = "XOAUTH2"
	Anonymous  = "ANONYMOUS"
)

// Limits in octets. A response is what one line holds after base64; the names
// and passwords in it are bounded further, so that nobody makes us hash much.
const (
	MaxResponse = 12288
	MaxName     = 1024
	MaxPassword = 1024
)

// Errors of exchanges; test with errors.Is.
var (
	ErrMalformed = errors.New("malformed authentication response")
	ErrTooLong   = errors.New("authentication response is too long")
	ErrFailed    = errors.New("authentication failed")
)

// Server is the server's side of one exchange.
type Server interface {
	// Next takes a response of the client and gives the next challenge, until
	// done. The first response is nil if the client sent no initial one.
	// After an error the exchange is over.
	Next(response []byte) (challenge []byte, done bool, err error)
	// Identity is, once done, whom the client wants to act as ("" for itself)
	// and whose credentials it has shown.
	Identity() (authz, user string)
}

// Client is the client's side of one exchange.
type Client interface {
	// Mechanism is the name to ask for.
	Mechanism() string
	// Next answers a challenge. The first call, with nil, gives the initial
	// response, or nil if the mechanism has none.
	Next(challenge []byte) (response []byte, err error)
	// Finish says, after the server reported success, whether it has proved
	// itself as far as the mechanism lets it.
	Finish() error
}

// Prepare brings a password into the form that is hashed and compared: SASLprep
// (RFC 4013), as clients of SCRAM do, and for what that does not know, such as
// characters newer than Unicode 3.2, OpaqueString (RFC 8265).
func Prepare(password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > MaxPassword:
		return "", fmt.Errorf("the password is longer than %d octets", MaxPassword)
	case !utf8.ValidString(password):
		return "", errors.New("the password is not UTF-8")
	}
	prepared, err := stringprep.SASLprep.Prepare(password)
	if err != nil {
		prepared, err = precis.OpaqueString.String(password)
	}
	if err != nil || prepared == "" {
		return "", errors.New("the password holds characters that cannot be used") // which, is a secret
	}
	return prepared, nil
}

// plainServer is PLAIN, RFC 4616.
type plainServer struct {
	check       func(user, password string) error
	asked       bool
	authz, user string
}

// NewPlain begins an exchange of PLAIN; check decides on the credentials.
func NewPlain(check func(user, password string) error) Server { return &plainServer{check: check} }

// Next takes the one response.
func (s *plainServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil && !s.asked {
		s.asked = true
		return []byte{}, false, nil
	}
	if len(response) > MaxResponse {
		return nil, false, ErrTooLong
	}
	fields := bytes.Split(response, []byte{0})
	if len(fields) != 3 {
		return nil, false, fmt.Errorf("%w: PLAIN wants three fields", ErrMalformed)
	}
	authz, user, password := string(fields[0]), string(fields[1]), string(fields[2])
	if err := checkFields(user, password); err != nil {
		return nil, false, err
	}
	if len(authz) > MaxName || !utf8.ValidString(authz) {
		return nil, false, fmt.Errorf("%w: bad authorization identity", ErrMalformed)
	}
	if err := s.check(user, password); err != nil {
		return nil, false, err
	}
	s.authz, s.user = authz, user
	return nil, true, nil
}

// Identity is what the response said.
func (s *plainServer) Identity() (string, string) { return s.authz, s.user }

func checkFields(user, password string) error {
	switch {
	case user == "" || len(user) > MaxName || !utf8.ValidString(user) || strings.ContainsRune(user, 0):
		return fmt.Errorf("%w: bad user name", ErrMalformed)
	case password == "" || len(password) > MaxPassword || !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: bad password", ErrMalformed)
	}
	return nil
}

// loginServer is LOGIN: the user name and the password, each asked for.
type loginServer struct {
	check func(user, password string) error
	asked int // questions asked
	user  string
}

// NewLogin begins an exchange of LOGIN; check decides on the credentials.
func NewLogin(check func(user, password string) error) Server { return &loginServer{check: check} }

// Next takes the name, then the password.
func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	if len(response) > MaxResponse {
		return nil, false, ErrTooLong
	}
	switch {
	case s.asked == 0 && response == nil:
		s.asked = 1
		return []byte("Username:"), false, nil
	case s.asked <= 1:
		s.asked, s.user = 2, string(response)
		return []byte("Password:"), false, nil
	}
	password := string(response)
	if err := checkFields(s.user, password); err != nil {
		return nil, false, err
	}
	if err := s.check(s.user, password); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// Identity is the name given.
func (s *loginServer) Identity() (string, string) { return "", s.user }
