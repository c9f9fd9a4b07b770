package clients

import (
	"strconv"
	"strings"
	"testing"

	"plic/test/trial"
)

// The exit codes of swaks.
const (
	swaksMailRefused = 23
	swaksRcptRefused = 24
	swaksAuthRefused = 28
)

func TestSwaks(t *testing.T) {
	t.Parallel()
	trial.Need(t, "swaks", "curl")
	s := trial.Start(t, program, ann, bob)
	verified := []string{"--tls-verify", "--tls-ca-path", s.CA()}
	login := []string{"--auth-user", ann.Name, "--auth-password", ann.Password}
	from, to := []string{"--from", ann.Name}, []string{"--to", bob.Name}
	for _, c := range []struct {
		name string
		port int
		args [][]string
		code int
		says []string
	}{
		{"port 25", trial.SMTP, [][]string{{"--from", "stranger@example.org"}, to}, 0, []string{"<-  250 2.0.0 accepted"}},
		{"port 25 with TLS", trial.SMTP, [][]string{{"--from", "stranger@example.org"}, to, {"--tls"}, verified}, 0, []string{"<~  250 2.0.0 accepted"}},
		{"null sender", trial.SMTP, [][]string{{"--from", "<>"}, to}, 0, []string{"MAIL FROM:<>"}},
		{"HELO", trial.SMTP, [][]string{{"--from", "stranger@example.org", "--protocol", "SMTP"}, to}, 0, []string{" -> HELO"}},
		{"plain", trial.Submission, [][]string{from, to, {"--tls", "--auth", "PLAIN"}, verified, login}, 0, []string{"~> AUTH PLAIN", "235 2.7.0"}},
		{"login", trial.Submission, [][]string{from, to, {"--tls", "--auth", "LOGIN"}, verified, login}, 0, []string{"~> AUTH LOGIN", "235 2.7.0"}},
		{"pipelining", trial.Submission, [][]string{from, to, {"--tls", "--pipeline"}, verified, login}, 0, []string{"~> MAIL FROM:<ann@plic.test>\n ~> RCPT TO:<bob@plic.test>\n ~> DATA\n"}},
		{"TLS from the start", trial.Submissions, [][]string{from, to, {"--tlsc"}, verified, login}, 0, []string{"<~  250 2.0.0 accepted"}},
		{"lmtp", trial.LMTP, [][]string{from, to, {"--protocol", "LMTP"}}, 0, []string{" -> LHLO", "<-  250 2.0.0 accepted"}},
		{"lmtp for two", trial.LMTP, [][]string{from, {"--to", bob.Name + "," + ann.Name, "--protocol", "LMTP"}}, 0, []string{"<-  250 2.0.0 accepted"}},
		{"two, one unknown", trial.SMTP, [][]string{from, {"--to", bob.Name + ",nobody@plic.test"}}, 0, []string{"<** 550 5.1.1", "<-  250 2.0.0 accepted"}},
		{"plus address", trial.SMTP, [][]string{from, {"--to", "bob+lists@plic.test"}}, 0, []string{"<-  250 2.1.5"}},

		{"wrong password", trial.Submission, [][]string{from, to, {"--tls", "--auth", "PLAIN", "--auth-user", ann.Name, "--auth-password", wrong, "--local-interface", elsewhere}}, swaksAuthRefused, []string{"535 5.7.8"}},
		{"unknown user", trial.Submission, [][]string{from, to, {"--tls", "--auth", "LOGIN", "--auth-user", "nobody@plic.test", "--auth-password", wrong, "--local-interface", elsewhere}}, swaksAuthRefused, []string{"535 5.7.8"}},
		{"no login", trial.Submission, [][]string{from, to, {"--tls"}}, swaksMailRefused, []string{"530 5.7.0"}},
		{"sender of another", trial.Submission, [][]string{{"--from", bob.Name}, to, {"--tls"}, login}, swaksMailRefused, []string{"553 5.7.1"}},
		{"relay", trial.SMTP, [][]string{from, {"--to", "x@elsewhere.example"}}, swaksRcptRefused, []string{"550 5.7.1"}},
		{"relay by route", trial.SMTP, [][]string{from, {"--to", "x%elsewhere.example@plic.test"}}, swaksRcptRefused, []string{"550 5.1.1"}},
		{"unknown", trial.SMTP, [][]string{from, {"--to", "nobody@plic.test"}}, swaksRcptRefused, []string{"550 5.1.1"}},
		{"AUTH on port 25", trial.SMTP, [][]string{from, to, login}, swaksAuthRefused, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"--server", "127.0.0.1", "--port", strconv.Itoa(s.Port(c.port)), "--timeout", "20", "--header", "Subject: " + c.name}
			for _, a := range c.args {
				args = append(args, a...)
			}
			got := run(t, "swaks", args...).ends(t, c.code, c.says...)
			_, data, _ := strings.Cut(got, "\n<")
			if n := strings.Count(data, "accepted as"); c.name == "lmtp for two" && n != 2 {
				t.Errorf("%d answers for two recipients: %s", n, got)
			}
		})
	}
	// Each of the messages that were accepted is there, once.
	subjects := curl(t, s, bob, "imaps", "/INBOX", "-X", "FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").ok(t)
	if !strings.Contains(subjects, "* 13 FETCH") || strings.Contains(subjects, "* 14 FETCH") {
		t.Errorf("not 12 messages and the welcome: %s", subjects)
	}
}
