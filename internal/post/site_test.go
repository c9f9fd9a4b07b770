package post

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/deliver/local"
	"plic/internal/mail"
	"plic/internal/route"
	"plic/internal/scripts"
	"plic/internal/sieve"
)

// offering is an office of a site that offers scripts lists and programs.
func offering(t *testing.T, script string) *office {
	t.Helper()
	site := local.Site{
		Lists: []string{"tag:here.test,2026:friends", "down"},
		List: func(_ context.Context, list, key string) (string, bool, error) {
			if list == "down" {
				return "", false, errors.New("the table does not answer")
			}
			if key == list {
				return "eve@there.test, bob@here.test", true, nil
			}
			return "", key == "x@there.test", nil
		},
		Run: func(_ context.Context, program string, args []string, from, to mail.Address, input []byte) ([]byte, bool, error) {
			switch program {
			case "shout":
				return []byte(strings.ToUpper(string(input))), true, nil
			case "say":
				return []byte(strings.Join(append(args, from.String(), to.String()), " ")), true, nil
			case "no":
				return nil, false, nil
			}
			return nil, false, errors.New("there is no such program")
		},
	}
	o := filtering(t, nil)
	o.keeper = scripts.New(scripts.Options{Store: o.store, Sieve: sieve.Options{Allow: site.Offers}})
	o.Office = New(Options{
		Store: o.store, Router: route.New(route.Options{Directory: o.people}), Directory: o.people,
		Reporter: plainReporter{}, Now: time.Now, Lifetime: 5 * 24 * time.Hour,
		Filter: local.New(local.Options{Scripts: o.keeper, Host: mail.MustDomain("mx.here.test"), Site: site}),
	})
	o.Schedule(o.told)
	a, err := o.store.Account(t.Context(), "ann@here.test")
	if err == nil {
		err = o.keeper.Put(t.Context(), a, "main", script)
	}
	if err == nil {
		err = o.keeper.Activate(t.Context(), a, "main")
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// leaves are the recipients of the queue, with what stands before them.
func (o *office) leaves() (all []string) {
	for _, i := range o.items() {
		for _, to := range i.To {
			all = append(all, string(i.Hop.Kind)+":"+i.Hop.Host+" "+strings.ReplaceAll(i.Hop.Args, "\n", "|")+" "+to.Address.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestFilterLists(t *testing.T) {
	o := offering(t, `require ["extlists", "fileinto", "envelope", "mailbox"];
if envelope :list "from" "tag:here.test,2026:friends" { redirect :list "tag:here.test,2026:friends"; fileinto :create "Friends"; }
if envelope :list "from" "tag:nobody" { discard; }`)
	for _, from := range []string{"x@there.test", "y@there.test"} {
		if _, err := o.post(envelope(from, "ann@here.test"), letter); err != nil {
			t.Fatal(err)
		}
	}
	o.want("ann@here.test", "Friends", 1)
	o.want("ann@here.test", "INBOX", 1)
	o.want("bob@here.test", "INBOX", 1)
	if got := o.leaves(); !slices.Equal(got, []string{"smtp:there.test  eve@there.test"}) {
		t.Errorf("the queue has %q", got)
	}

	// A list that does not answer puts the mail off.
	o = offering(t, `require ["extlists", "envelope"]; if envelope :list "from" "down" { discard; }`)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); !mail.StatusOf(err).Temporary() {
		t.Errorf("a list that is down: %v", err)
	}
	o.want("ann@here.test", "INBOX", 0)
}

func TestFilterPrograms(t *testing.T) {
	o := offering(t, `require ["vnd.dovecot.pipe", "vnd.dovecot.filter", "vnd.dovecot.execute", "variables", "copy", "fileinto", "mailbox"];
execute :output "said" "say" ["a", "b"];
if string "${said}" "a b x@there.test ann@here.test" { fileinto :create "Said"; }
if execute "no" { discard; stop; }
if not filter "no" { filter "shout"; }
pipe :copy "archive" ["-x", "two words"];
redirect :copy "eve@there.test";`)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "Said", 1)
	if got := o.leaves(); !slices.Equal(got, []string{"pipe:sieve:archive -x|two words ann@here.test", "smtp:there.test  eve@there.test"}) {
		t.Errorf("the queue has %q", got)
	}
	// Where it goes on to, the message is what the program has made of it.
	for _, item := range o.items() {
		body, err := o.OpenBody(t.Context(), &item)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(mail.Reader(body))
		body.Close()
		if err != nil || item.Size != int64(len(text)) {
			t.Errorf("%d octets, not %d: %v", len(text), item.Size, err)
		}
		if s := string(text); !strings.HasPrefix(s, "Delivered-To: ann@here.test\r\nDELIVERED-TO: ANN@HERE.TEST\r\nRECEIVED: FROM TEST\r\n") && !strings.HasPrefix(s, "Delivered-To: ann@here.test\r\nRETURN-PATH:") {
			t.Errorf("%s goes to %s", s, item.Hop.Host)
		}
		if n := item.To[0].Notify; item.Hop.Kind == mail.HopPipe && n != mail.NotifyNever {
			t.Errorf("a program's failure is told: %v", n)
		}
	}

	// One that is not there is a fault of the script: the message is kept.
	o = offering(t, `require "vnd.dovecot.execute"; execute "nothing"; discard;`)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "INBOX", 2) // with word of it
	// So is a name that is none.
	o = offering(t, `require "vnd.dovecot.pipe"; pipe "/bin/sh"; discard;`)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	if o.want("ann@here.test", "INBOX", 2); len(o.items()) != 0 {
		t.Errorf("the queue has %q", o.leaves())
	}
}

func TestFilterDeliverBy(t *testing.T) {
	o := offering(t, `require ["redirect-deliverby", "redirect-dsn", "editheader"]; addheader "X-Was" "here";
redirect :bytimerelative 600 :bymode "return" :notify "NEVER" :ret "HDRS" "eve@there.test";`)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	items := o.items()
	if len(items) != 1 {
		t.Fatalf("the queue has %q", o.leaves())
	}
	e := items[0].Envelope
	if left := time.Until(e.By.At); left < 9*time.Minute || left > 10*time.Minute || !e.By.Return || e.Ret != "HDRS" || items[0].To[0].Notify != mail.NotifyNever {
		t.Errorf("it leaves with %+v for %+v", e, items[0].To)
	}
	body, err := o.OpenBody(t.Context(), &items[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(mail.Reader(body)); err != nil || !strings.Contains(string(text), "X-Was: here\r\n") {
		t.Errorf("what the script has changed does not go on: %v\n%s", err, text)
	}
}
