package foreign

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"plic/test/trial"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// send delivers a message to our own as a stranger does.
func send(t *testing.T, s *trial.Server, from string, to ...string) {
	t.Helper()
	c := must[*smtp.Client](t)(smtp.Dial(s.At(trial.SMTP)))
	defer c.Close()
	ok(t, c.SendMail(from, to, strings.NewReader("From: "+from+"\r\nSubject: hello\r\n\r\n.\r\nhello\r\n")))
	ok(t, c.Quit())
}

// trust is for SMTP, which has no name in ALPN.
func trust(t *testing.T, s *trial.Server) *tls.Config {
	c := believe(t, s)
	c.NextProtos = nil
	return c
}

// answer checks the code and enhanced code of a refusal.
func answer(t *testing.T, err error, code int, enhanced smtp.EnhancedCode) {
	t.Helper()
	var got *smtp.SMTPError
	if !errors.As(err, &got) || got.Code != code || got.EnhancedCode != enhanced {
		t.Errorf("got %v, not %d %v", err, code, enhanced)
	}
}

func TestSubmission(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann, bob)
	for name, dial := range map[string]func() (*smtp.Client, error){
		"STARTTLS": func() (*smtp.Client, error) { return smtp.DialStartTLS(s.At(trial.Submission), trust(t, s)) },
		"TLS":      func() (*smtp.Client, error) { return smtp.DialTLS(s.At(trial.Submissions), trust(t, s)) },
	} {
		c := must[*smtp.Client](t)(dial())
		defer c.Close()
		ok(t, c.Hello("client.example"))
		for _, want := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "SIZE"} {
			if found, _ := c.Extension(want); !found {
				t.Errorf("%s: %s is not offered", name, want)
			}
		}
		if size, ok := c.MaxMessageSize(); !ok || size != 50<<20 {
			t.Errorf("%s: SIZE %d", name, size)
		}
		if !c.SupportsAuth("SCRAM-SHA-256") || !c.SupportsAuth(sasl.Plain) || !c.SupportsAuth(sasl.Login) {
			t.Errorf("%s: mechanisms are missing", name)
		}
		answer(t, c.Mail(ann.Name, nil), 530, smtp.EnhancedCode{5, 7, 0})
		answer(t, c.Auth(sasl.NewPlainClient("", ann.Name, "wrong")), 535, smtp.EnhancedCode{5, 7, 8})
		ok(t, c.Auth(sasl.NewPlainClient("", ann.Name, ann.Password)))
		answer(t, c.Mail(bob.Name, nil), 553, smtp.EnhancedCode{5, 7, 1})
		answer(t, c.Mail(ann.Name, &smtp.MailOptions{Size: 51 << 20}), 552, smtp.EnhancedCode{5, 3, 4})

		// All parameters at once; the report of success has them again.
		ok(t, c.Mail(ann.Name, &smtp.MailOptions{Body: smtp.Body8BitMIME, Size: 100, UTF8: true, Return: smtp.DSNReturnHeaders, EnvelopeID: "id+1 " + name}))
		answer(t, c.Rcpt("nobody@plic.test", nil), 550, smtp.EnhancedCode{5, 1, 1})
		ok(t, c.Rcpt(bob.Name, &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure},
			OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: "bob+alias@plic.test"}))
		w := must[*smtp.DataCommand](t)(c.Data())
		_, err := w.Write([]byte("From: ann@plic.test\r\nSubject: Grüße " + name + "\r\n\r\n.\r\nschön\r\n"))
		ok(t, err)
		ok(t, w.Close())
		ok(t, c.Reset())
		ok(t, c.Noop())
		ok(t, c.Quit())
	}

	mail := inbox(t, s, bob)
	for _, want := range []string{"Subject: Grüße STARTTLS\r\n\r\n.\r\nschön\r\n", "Subject: Grüße TLS\r\n\r\n.\r\nschön\r\n"} {
		if !strings.Contains(mail, want) {
			t.Errorf("%q did not come: %s", want, mail)
		}
	}
	mail = inbox(t, s, ann)
	for _, want := range []string{"Original-Envelope-Id: id+1 TLS\r\n", "Original-Envelope-Id: id+1 STARTTLS\r\n",
		"Original-Recipient: rfc822; bob+alias@plic.test\r\n", "Action: delivered\r\n"} {
		if !strings.Contains(mail, want) {
			t.Errorf("the reports lack %q: %s", want, mail)
		}
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann, bob)
	c := must[*smtp.Client](t)(smtp.DialStartTLS(s.At(trial.SMTP), trust(t, s)))
	defer c.Close()
	if c.SupportsAuth(sasl.Plain) {
		t.Error("AUTH is offered on port 25")
	}
	ok(t, c.Mail("", nil))
	ok(t, c.Rcpt(ann.Name, nil))
	ok(t, c.Rcpt("postmaster@plic.test", nil))
	answer(t, c.Rcpt("x@elsewhere.example", nil), 550, smtp.EnhancedCode{5, 7, 1})
	ok(t, c.Reset())
	ok(t, c.Mail("größe@müller.example", &smtp.MailOptions{UTF8: true}))
	ok(t, c.Rcpt(ann.Name, nil))
	w := must[*smtp.DataCommand](t)(c.Data())
	_, err := w.Write([]byte("From: größe@müller.example\r\nSubject: aus der Ferne\r\n\r\nhallo\r\n"))
	ok(t, err)
	ok(t, w.Close())
	if mail := inbox(t, s, ann); !strings.Contains(mail, "Return-Path: <größe@xn--mller-kva.example>\r\n") || !strings.Contains(mail, "with UTF8SMTPS id") {
		t.Errorf("what came: %s", mail)
	}
}

func TestLMTP(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann, bob)
	conn, err := net.Dial("tcp", s.At(trial.LMTP))
	ok(t, err)
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	ok(t, c.Hello("relay.example"))
	ok(t, c.Mail("stranger@example.org", nil))
	ok(t, c.Rcpt(ann.Name, nil))
	answer(t, c.Rcpt("nobody@plic.test", nil), 550, smtp.EnhancedCode{5, 1, 1})
	ok(t, c.Rcpt(bob.Name, nil))
	w := must[*smtp.DataCommand](t)(c.Data())
	_, err = w.Write([]byte("Subject: by LMTP\r\n\r\nhello\r\n"))
	ok(t, err)
	answers, err := w.CloseWithLMTPResponse()
	ok(t, err)
	if len(answers) != 2 || answers[ann.Name] == nil || answers[bob.Name] == nil {
		t.Errorf("answers %v", answers)
	}
	for _, who := range []trial.Account{ann, bob} {
		if mail := inbox(t, s, who); !strings.Contains(mail, "Subject: by LMTP\r\n") || !strings.Contains(mail, "with LMTP id") {
			t.Errorf("what came to %s: %s", who.Name, mail)
		}
	}
}

// inbox is all mail of an account as one text.
func inbox(t *testing.T, s *trial.Server, who trial.Account) string {
	t.Helper()
	c := login(t, s, who, listen())
	defer c.Close()
	must[*imap.SelectData](t)(c.Select("INBOX", nil).Wait())
	whole := &imap.FetchItemBodySection{Peek: true}
	var text strings.Builder
	var all imap.SeqSet
	all.AddRange(1, 0)
	for _, m := range must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{whole}}).Collect()) {
		text.Write(m.FindBodySection(whole))
	}
	return text.String()
}
