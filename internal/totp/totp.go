// Package totp is one-time passwords by time (RFC 6238, over HOTP of RFC 4226) as
// authenticator programs make them: SHA-1, six digits, thirty seconds.
package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	period = 30 * time.Second
	digits = 6
	// around is how many steps a clock may be off, or a code be late, RFC 6238
	// section 5.2.
	around = 1
	// secretSize is that of the hash, as RFC 4226 section 4 recommends.
	secretSize = sha1.Size
)

// NewSecret makes a secret, in base32 as people type it into their programs.
func NewSecret() string {
	raw := make([]byte, secretSize)
	rand.Read(raw)
	return base32.StdEncoding.EncodeToString(raw)
}

// URI is what a program reads from a picture.
func URI(issuer, account, secret string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account,
		RawQuery: url.Values{"secret": {secret}, "issuer": {issuer}}.Encode()}
	return u.String()
}

// Step is the number of the step that a time is in.
func Step(now time.Time) int64 { return now.Unix() / int64(period/time.Second) }

// Code is the code of a step, as a program makes it; "" for what is no secret.
func Code(secret string, step int64) string {
	raw, err := base32.StdEncoding.DecodeString(secret)
	if err != nil {
		return ""
	}
	return code(raw, step)
}

// code is HOTP, RFC 4226 section 5.3.
func code(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", digits, n%1_000_000)
}

// Check says whether a code is right at a time, and of which step it is. No code
// of the step that was used last, or of one before it, is right again: RFC 6238
// section 5.2.
func Check(secret, given string, now time.Time, last int64) (step int64, ok bool) {
	raw, err := base32.StdEncoding.DecodeString(secret)
	given = strings.ReplaceAll(strings.TrimSpace(given), " ", "")
	if err != nil || len(raw) == 0 || len(given) != digits {
		return 0, false
	}
	for s := Step(now) - around; s <= Step(now)+around; s++ {
		if subtle.ConstantTimeCompare([]byte(code(raw, s)), []byte(given)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}
