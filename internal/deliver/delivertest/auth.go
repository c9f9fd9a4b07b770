package delivertest

import (
	"encoding/base64"
	"strings"
)

// Password is what every user of a Remote has.
const Password = "sesame"

// auth knows PLAIN and LOGIN.
func (c *Conn) auth(args string) {
	mechanism, initial, _ := strings.Cut(args, " ")
	decode := func(text string) string {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return ""
		}
		return string(raw)
	}
	user, password := "", ""
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if initial == "" {
			c.Reply("334 ")
			initial = c.Line()
		}
		if parts := strings.Split(decode(initial), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		c.Reply("334 " + base64.StdEncoding.EncodeToString([]byte("Username:")))
		user = decode(c.Line())
		c.Reply("334 " + base64.StdEncoding.EncodeToString([]byte("Password:")))
		password = decode(c.Line())
	default:
		c.Reply("504 5.5.4 unknown mechanism")
		return
	}
	if password != Password {
		c.Reply("535 5.7.8 no")
		return
	}
	c.m.User = user
	c.Reply("235 2.7.0 welcome")
}
