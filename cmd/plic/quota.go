package main

import (
	"context"
	"strconv"

	"plic/internal/config"
	"plic/internal/control"

	"github.com/spf13/cobra"
)

// quotaFlags are limits as they are written: a number, none or default.
type quotaFlags struct{ storage, messages, mailboxes string }

// quotaCommand shows what an account or a domain has and may have, or changes
// what it may have.
func (a *app) quotaCommand(use, what, example string, names func(context.Context, control.Operations) []string) *cobra.Command {
	c := &cobra.Command{Use: "quota " + use, ValidArgsFunction: a.complete(names)}
	var f quotaFlags
	c.Flags().StringVar(&f.storage, "storage", "", "size of all messages, such as 2GiB; none; default")
	c.Flags().StringVar(&f.messages, "messages", "", "number of messages; none; default")
	c.Flags().StringVar(&f.mailboxes, "mailboxes", "", "number of mailboxes; none; default")
	c.Short = "Show how much " + what + " has and may have, or change that"
	c.Example = example
	c.Args = arguments(1, 1, "the name")
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.with(c.Context(), func(o control.Operations) error {
			q, err := o.Quotas.Quota(c.Context(), args[0])
			if err != nil {
				return err
			}
			changed, err := f.apply(&q.Own)
			if err != nil {
				return err
			}
			if changed {
				if err := o.Quotas.SetQuota(c.Context(), q.Name, q.Own); err != nil {
					return err
				}
				if q, err = o.Quotas.Quota(c.Context(), q.Name); err != nil {
					return err
				}
			}
			return a.showQuota(q)
		})
	}
	return a.jsonFlag(c)
}

// apply puts the limits that were given in place of others.
func (f quotaFlags) apply(u *control.Usage) (changed bool, err error) {
	size := func(text string) (int64, error) { return config.ParseSize(text) }
	count := func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }
	for _, l := range []struct {
		text, flag string
		to         *int64
		read       func(string) (int64, error)
	}{
		{f.storage, "storage", &u.Bytes, size}, {f.messages, "messages", &u.Messages, count},
		{f.mailboxes, "mailboxes", &u.Mailboxes, count},
	} {
		switch l.text {
		case "":
			continue
		case "default":
			*l.to = 0
		case "none":
			*l.to = -1
		default:
			n, err := l.read(l.text)
			if err != nil || n <= 0 {
				return false, usagef("--%s %s: write a number above 0, none or default", l.flag, l.text)
			}
			*l.to = n
		}
		changed = true
	}
	return changed, nil
}

func (a *app) showQuota(q control.Quota) error {
	if a.json {
		return jsonLines(a.out, only(q))
	}
	t := table{head: []string{"RESOURCE", "USED", "LIMIT"}}
	row := func(name string, used, limit int64, show func(int64) string) {
		most := "none"
		if limit > 0 {
			most = show(limit)
		}
		t.add(name, show(used), most)
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	row("storage", q.Used.Bytes, q.Limit.Bytes, octets)
	row("messages", q.Used.Messages, q.Limit.Messages, count)
	row("mailboxes", q.Used.Mailboxes, q.Limit.Mailboxes, count)
	t.write(a.out, "")
	return nil
}
