package main

import (
	"fmt"
	"strings"
	"testing"
)

// Command lines of sendmail, as cron, PHP, mutt, mailers and old scripts write
// them, mean what they mean to sendmail and Postfix.
func TestSendmailFlags(t *testing.T) {
	t.Parallel()
	const someID = "0123456789abcdefghijklmnog"
	for line, want := range map[string]string{
		"sendmail bob":                   "m to bob",
		"sendmail -t":                    "m header",
		"sendmail -t -i":                 "m header dots",
		"sendmail -ti":                   "m header dots",
		"sendmail -oi -t":                "m header dots",
		"sendmail -oem -oi -f ann -- -x": "m dots from ann to -x",
		"sendmail -i -FCronDaemon -B8BITMIME -oem x": "m dots name CronDaemon to x",
		"sendmail -fann bob carl":                    "m from ann to bob carl",
		"sendmail -f ann@here.test -r x bob":         "m from x to bob",
		"sendmail -f <> bob":                         "m from <> to bob",
		"sendmail -N never -R hdrs -V id bob":        "m notify 1 ret HDRS envid id to bob",
		"sendmail -Nsuccess,failure,delay bob":       "m notify 14 to bob",
		"sendmail -R full -Vx bob":                   "m ret FULL envid x to bob",
		"sendmail -bs":                               "s",
		"sendmail -bs -f ann":                        "s from ann",
		"sendmail -bp":                               "p",
		"mailq":                                      "p",
		"mailq -q":                                   "q",
		"sendmail -q":                                "q",
		"sendmail -qI" + someID:                      "q only " + someID,
		"sendmail -qRexample.net -qSann@here.test":   "q only to example.net only from ann@here.test",
		"sendmail -qIabc":                            "!",
		"sendmail -qR":                               "!",
		"sendmail -qXabc":                            "!",
		"sendmail -q15m -bm bob":                     "m to bob",
		"sendmail -bi":                               "i",
		"sendmail -I":                                "i",
		"newaliases":                                 "i",
		"newaliases -v":                              "i",
		"sendmail -bv bob":                           "v to bob",
		"sendmail -G -U -v -n -m -h 3 -X log -C c x": "m config c to x",
		"sendmail -bd":                               "!",
		"sendmail -bD":                               "!",
		"sendmail -Z":                                "!",
		"sendmail -f":                                "!",
		"sendmail -N sometimes":                      "!",
		"sendmail -R half":                           "m",
	} {
		words := strings.Fields(line)
		s, err := parseSendmail(words[0], words[1:])
		got := "!"
		if err == nil {
			got = string(s.mode)
			add := func(when bool, format string, a ...any) {
				if when {
					got += " " + fmt.Sprintf(format, a...)
				}
			}
			for _, id := range s.only.IDs {
				add(true, "only %s", id)
			}
			add(s.only.To != "", "only to %s", s.only.To)
			add(s.only.From != "", "only from %s", s.only.From)
			add(s.header, "header")
			add(s.dots, "dots")
			if s.from != nil {
				add(true, "from %s", *s.from)
			}
			add(s.name != "", "name %s", s.name)
			add(s.config != "", "config %s", s.config)
			add(s.notify != 0, "notify %d", s.notify)
			add(s.ret != "", "ret %s", s.ret)
			add(s.envid != "", "envid %s", s.envid)
			add(len(s.to) > 0, "to %s", strings.Join(s.to, " "))
		}
		if got != want {
			t.Errorf("%s means %q (%v), want %q", line, got, err, want)
		}
	}
}
