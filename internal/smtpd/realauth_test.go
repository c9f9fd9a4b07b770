package smtpd

import (
	"crypto/tls"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/sasl"
)

// TestRealAuth logs in by every mechanism with the machines of both sides,
// over TLS: the last message of SCRAM goes out as a challenge, RFC 4954
// section 4.
func TestRealAuth(t *testing.T) {
	t.Parallel()
	cost := directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: 4096}
	secret, err := directory.NewSecret("pencil", cost)
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Options{Cost: cost, Directory: directorytest.One{Who: directory.Account{Name: "alice@us.example", Secret: secret}},
		Wait: (&waits{}).wait})
	h := openTCP(t, Submission, func(o *Options) { withTLS(o); o.Auth = FromAuth(a) })
	defer h.close()
	for _, mechanism := range []string{sasl.Plain, sasl.Login, sasl.SCRAM, sasl.SCRAMPlus} {
		for _, password := range []string{"pencil", "pen"} {
			c := h.dial("")
			c.want("220 ")
			c.say("EHLO client", "250 ")
			c.say("STARTTLS", "220 ")
			if err := c.secure(&tls.Config{InsecureSkipVerify: true}); err != nil {
				t.Fatal(err)
			}
			c.say("EHLO client", "250 ")
			got := login(t, c, mechanism, password)
			if want := map[bool]string{true: "235 2.7.0 ", false: "535 5.7.8 "}[password == "pencil"]; !strings.HasPrefix(got, want) {
				t.Errorf("%s with %q: %q", mechanism, password, got)
			}
			if strings.HasPrefix(got, "235") {
				c.say("MAIL FROM:<alice@us.example>", "250 ")
			} else {
				c.say("MAIL FROM:<alice@us.example>", "530 ")
			}
			c.say("QUIT", "221 ")
			c.c.Close()
		}
	}
}

// login carries an exchange out, and gives the last answer.
func login(t *testing.T, c *client, mechanism, password string) string {
	who := sasl.Credentials{User: "alice@us.example", Password: password}
	state := c.c.(*tls.Conn).ConnectionState()
	var bindings []sasl.Binding
	if mechanism == sasl.SCRAMPlus {
		bindings = sasl.Bindings(&state, nil)
	}
	machine, err := sasl.Choose([]string{mechanism}, who, true, bindings)
	if err != nil || machine.Mechanism() != mechanism {
		t.Fatalf("%s: %v, %v", mechanism, machine, err)
	}
	initial, err := machine.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	line := "AUTH " + mechanism
	if initial != nil {
		line += " " + base64.StdEncoding.EncodeToString(initial)
	}
	c.send(line + "\r\n")
	for {
		answer := c.reply()
		challenge, ok := strings.CutPrefix(answer, "334 ")
		if !ok {
			if strings.HasPrefix(answer, "235") && machine.Finish() != nil {
				t.Errorf("%s: the server has not proved itself", mechanism)
			}
			return answer
		}
		decoded, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		response, err := machine.Next(decoded)
		if err != nil {
			t.Fatal(err)
		}
		c.send(base64.StdEncoding.EncodeToString(response) + "\r\n")
	}
}

// TestMechanisms offers PLAIN where nobody can listen.
func TestMechanisms(t *testing.T) {
	t.Parallel()
	a := auth.New(auth.Options{Cost: directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: 4096}, Directory: directorytest.One{}})
	for from, want := range map[string]bool{outside: false, "127.0.0.1:4000": true} {
		h := open(t, Submission, func(o *Options) { o.Auth = FromAuth(a) })
		c := h.dial(from)
		c.want("220 ")
		c.send("EHLO client\r\n")
		var lines []string
		for line := c.next(); ; line = c.next() {
			lines = append(lines, line)
			if line == "" || line[3] == ' ' {
				break
			}
		}
		shown := func(line string) bool {
			return strings.HasPrefix(line, "250-AUTH ") && slices.Contains(strings.Fields(line), "PLAIN")
		}
		if got := slices.ContainsFunc(lines, shown); got != want {
			t.Errorf("from %s: %q", from, lines)
		}
		c.c.Close()
		h.close()
	}
}
