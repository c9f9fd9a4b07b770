package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// CRAMKey is what a server keeps of a password for CRAM-MD5: the two states of
// HMAC-MD5 after its key, RFC 2195 section 2, with which anybody can log in by
// CRAM-MD5 but by nothing else.
type CRAMKey struct{ outer, inner [md5.Size]byte }

// NewCRAMKey makes the key of a password. It is not prepared: clients of
// CRAM-MD5 do not prepare theirs.
func NewCRAMKey(password string) CRAMKey {
	var block [md5.BlockSize]byte
	if len(password) > len(block) {
		sum := md5.Sum([]byte(password))
		copy(block[:], sum[:])
	} else {
		copy(block[:], password)
	}
	return CRAMKey{outer: absorbed(block, 0x5c), inner: absorbed(block, 0x36)}
}

// The form in which crypto/md5 keeps its state: a word, the state in big endian,
// a block that is being filled, and how much was hashed.
const (
	md5Magic = "md5\x01"
	md5State = len(md5Magic) + md5.Size
)

// absorbed is the state of MD5 after one block, as Dovecot writes it.
func absorbed(block [md5.BlockSize]byte, pad byte) (out [md5.Size]byte) {
	for i := range block {
		block[i] ^= pad
	}
	h := md5.New()
	h.Write(block[:])
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || len(state) < md5State {
		return out // the standard library keeps its word
	}
	swapWords(out[:], state[len(md5Magic):md5State])
	return out
}

// swapWords copies words of four octets from one end to the other.
func swapWords(dst, src []byte) {
	for i := 0; i+4 <= len(src); i += 4 {
		binary.LittleEndian.PutUint32(dst[i:], binary.BigEndian.Uint32(src[i:]))
	}
}

// resumed is MD5 of the block whose state is given and of what follows.
func resumed(state [md5.Size]byte, text []byte) ([]byte, error) {
	raw := make([]byte, md5State+md5.BlockSize+8)
	copy(raw, md5Magic)
	swapWords(raw[len(md5Magic):], state[:])
	binary.BigEndian.PutUint64(raw[len(raw)-8:], md5.BlockSize)
	h := md5.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	h.Write(text)
	return h.Sum(nil), nil
}

// Digest is HMAC-MD5 of a challenge, in hexadecimal.
func (k CRAMKey) Digest(challenge []byte) (string, error) {
	inner, err := resumed(k.inner, challenge)
	if err != nil {
		return "", err
	}
	outer, err := resumed(k.outer, inner)
	return hex.EncodeToString(outer), err
}

// MarshalText writes the key as Dovecot does behind {CRAM-MD5}.
func (k CRAMKey) MarshalText() ([]byte, error) {
	return hex.AppendEncode(hex.AppendEncode(nil, k.outer[:]), k.inner[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (k *CRAMKey) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(strings.ToLower(string(text)))
	if err != nil || len(raw) != 2*md5.Size {
		return errors.New("bad CRAM-MD5 verifier")
	}
	copy(k.outer[:], raw)
	copy(k.inner[:], raw[md5.Size:])
	return nil
}

type cramServer struct {
	challenge string
	lookup    func(user string) ([]CRAMKey, error)
	asked     bool
	user      string
	matched   int
}

// CRAMServer is the server's side of an exchange of CRAM-MD5.
type CRAMServer interface {
	Server
	// Matched is, once done, the number of the key that the digest fits.
	Matched() int
}

// NewCRAM begins an exchange of CRAM-MD5, RFC 2195. The challenge must never
// have been used: "<unique.time@host>". Lookup finds a user's keys, one for each
// password; with none, no answer fits.
func NewCRAM(challenge string, lookup func(user string) ([]CRAMKey, error)) CRAMServer {
	return &cramServer{challenge: challenge, lookup: lookup, matched: -1}
}

// Next gives the challenge and takes the answer to it.
func (s *cramServer) Next(response []byte) ([]byte, bool, error) {
	if !s.asked {
		if response != nil {
			return nil, false, fmt.Errorf("%w: in CRAM-MD5 the server speaks first", ErrMalformed)
		}
		s.asked = true
		return []byte(s.challenge), false, nil
	}
	if len(response) > MaxResponse {
		return nil, false, ErrTooLong
	}
	space := bytes.LastIndexByte(response, ' ') // a name may hold some
	if space < 1 {
		return nil, false, fmt.Errorf("%w: CRAM-MD5 wants a name and a digest", ErrMalformed)
	}
	s.user = string(response[:space])
	if err := checkFields(s.user, "-"); err != nil {
		return nil, false, err
	}
	keys, err := s.lookup(s.user)
	if err != nil {
		return nil, false, err
	}
	for i, k := range keys {
		want, err := k.Digest([]byte(s.challenge))
		if err != nil {
			return nil, false, err
		}
		if hmac.Equal([]byte(want), bytes.ToLower(response[space+1:])) {
			s.matched = i
		}
	}
	if s.matched < 0 {
		return nil, false, ErrFailed
	}
	return nil, true, nil
}

// Matched is the number of the key.
func (s *cramServer) Matched() int { return s.matched }

// Identity is the name given.
func (s *cramServer) Identity() (string, string) { return "", s.user }
