package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"plic/internal/control"
	"plic/internal/tlsrpt"

	"github.com/spf13/cobra"
)

func (a *app) tlsrptCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "tlsrpt", Short: "Reports of others about TLS with us",
		Example: "  plic tlsrpt list\n  plic tlsrpt read reports/*.eml",
	}, a.tlsrptList(), a.tlsrptRead())
}

func (a *app) tlsrptList() *cobra.Command {
	days := 30
	c := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "Summarise the reports that came by mail",
		Long: `Sum up the TLS reports (RFC 8460) that came to the address tlsrpt.receive. They are
kept for 90 days. What a report says is its sender's word; with --json it is told
which domains vouch for its mail by DKIM.`,
		Example: "  plic tlsrpt list\n  plic tlsrpt list --days 7 --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				came := o.TLS.Reports(c.Context(), days)
				if a.json {
					return jsonLines(a.out, came)
				}
				var reports []*tlsrpt.Report
				for r, err := range came {
					if err != nil {
						return err
					}
					reports = append(reports, &r.Report)
				}
				a.showTLS(reports)
				return nil
			})
		},
	})
	c.Flags().IntVar(&days, "days", days, "only those that came within so many `days`")
	return c
}

func (a *app) tlsrptRead() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "read [FILE...]", Short: "Summarise reports",
		Long: `Read TLS reports (RFC 8460) that others sent, and sum up how many of their sessions
went well and why the others did not. A file is a mail with a report in it, or the
report itself, packed or not; without a file, standard input is one. What a report
says is its sender's word.`,
		Example: "  plic tlsrpt read report.eml\n  plic tlsrpt read *.json.gz --json\n  cat report.eml | plic tlsrpt read",
		RunE: func(_ *cobra.Command, args []string) error {
			reports, err := a.readReports(args)
			if a.json {
				return errors.Join(jsonLines(a.out, values(reports)), err)
			}
			a.showTLS(reports)
			return err
		},
	})
}

// readReports reads all that can be read, and says which cannot.
func (a *app) readReports(files []string) (reports []*tlsrpt.Report, problem error) {
	problem = eachFile(files, a.in, func(in io.Reader) error {
		r, err := tlsrpt.Read(in)
		if err == nil {
			reports = append(reports, r)
		}
		return err
	})
	return reports, problem
}

// showTLS prints a row for each policy of each report, and then what failed.
func (a *app) showTLS(reports []*tlsrpt.Report) {
	sums := table{head: []string{"DAY", "FROM", "DOMAIN", "POLICY", "GOOD", "FAILED"}}
	type fault struct{ kind, host, from string }
	counts := map[fault]int64{}
	for _, r := range reports {
		from := cmp.Or(r.Organization, r.Contact)
		for _, f := range r.Policies {
			sums.add(r.Range.Start.UTC().Format("2006-01-02"), from, f.Policy.Domain, f.Policy.Type, fmt.Sprint(f.Summary.Success), fmt.Sprint(f.Summary.Failure))
			for _, x := range f.Failures {
				counts[fault{x.Type, cmp.Or(x.Host, x.ReceivingIP), from}] += x.Count
			}
		}
	}
	sums.write(a.out, "")
	faults := make([]fault, 0, len(counts))
	for x := range counts {
		faults = append(faults, x)
	}
	slices.SortFunc(faults, func(x, y fault) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x.kind, y.kind), cmp.Compare(x.host, y.host), cmp.Compare(x.from, y.from))
	})
	failures := table{head: []string{"SESSIONS", "FAILURE", "HOST", "FROM"}}
	for _, x := range faults {
		failures.add(fmt.Sprint(counts[x]), x.kind, x.host, x.from)
	}
	if len(failures.rows) > 0 {
		fmt.Fprintln(a.out)
	}
	failures.write(a.out, "")
}
