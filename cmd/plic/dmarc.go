package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"time"

	"plic/internal/control"
	"plic/internal/dmarcrpt"

	"github.com/spf13/cobra"
)

func (a *app) dmarcCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "dmarc", Short: "Reports of others about mail in our name",
		Example: "  plic dmarc summary\n  plic dmarc list --days 7\n  plic dmarc read reports/*.eml",
	}, a.dmarcSummary(), a.dmarcList(), a.dmarcRead())
}

func (a *app) dmarcList() *cobra.Command {
	days := 30
	c := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the reports that came by mail",
		Long: `List the aggregate reports of DMARC (RFC 9990) that came to the address
senders.receive_reports. They are kept for 90 days. What a report says is its sender's
word; with --json it is told which domains vouch for its mail by DKIM.`,
		Example: "  plic dmarc list\n  plic dmarc list --days 7 --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				came := o.DMARC.Reports(c.Context(), days)
				if a.json {
					return jsonLines(a.out, came)
				}
				reports, err := gathered(came)
				if err == nil {
					a.showReports(reports)
				}
				return err
			})
		},
	})
	c.Flags().IntVar(&days, "days", days, "only those that came within so many `days`")
	return c
}

func (a *app) dmarcSummary() *cobra.Command {
	days := 30
	c := a.jsonFlag(&cobra.Command{
		Use: "summary", Short: "Sum up who sent mail in our name",
		Long: `Sum up what the reports that came to senders.receive_reports say: which hosts sent mail
in the name of our domains, whether it was proven to be ours, and what became of it. A
host that is ours and fails is one to mend before the policy becomes p=reject; one that
is not is a forger, or somebody who forwards.`,
		Example: "  plic dmarc summary\n  plic dmarc summary --days 7 --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				reports, err := gathered(o.DMARC.Reports(c.Context(), days))
				if err != nil {
					return err
				}
				if a.json {
					return jsonLines(a.out, values(ways(reports)))
				}
				a.showDomains(reports)
				if list := ways(reports); len(list) > 0 {
					fmt.Fprintln(a.out)
					a.showWays(list)
				}
				return nil
			})
		},
	})
	c.Flags().IntVar(&days, "days", days, "only reports that came within so many `days`")
	return c
}

// gathered are all reports that came.
func gathered(came iter.Seq2[control.DMARCReport, error]) (reports []*dmarcrpt.Report, err error) {
	for r, err := range came {
		if err != nil {
			return nil, err
		}
		reports = append(reports, &r.Report)
	}
	return reports, nil
}

// showDomains prints a row for each domain that reports are about.
func (a *app) showDomains(reports []*dmarcrpt.Report) {
	type sum struct{ reports, all, good int64 }
	sums := map[string]sum{}
	for _, r := range reports {
		s := sums[r.Policy.Domain]
		s.reports++
		for i := range r.Records {
			s.all += r.Records[i].Row.Count
			if passed(&r.Records[i]) {
				s.good += r.Records[i].Row.Count
			}
		}
		sums[r.Policy.Domain] = s
	}
	rows := table{head: []string{"DOMAIN", "REPORTS", "MESSAGES", "PASS", "FAIL"}}
	for _, domain := range slices.Sorted(maps.Keys(sums)) {
		s := sums[domain]
		rows.add(domain, fmt.Sprint(s.reports), fmt.Sprint(s.all), fmt.Sprint(s.good), fmt.Sprint(s.all-s.good))
	}
	rows.write(a.out, "")
}

func (a *app) dmarcRead() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "read [FILE...]", Short: "Summarise aggregate reports",
		Long: `Read aggregate reports of DMARC (RFC 9990) that others sent, and sum up which hosts sent
mail in the name of our domains, and what became of it. A file is a mail with a report
in it, or the report itself, packed or not; without a file, standard input is one. What
a report says is its sender's word.`,
		Example: "  plic dmarc read report.eml\n  plic dmarc read *.xml.gz --json\n  cat report.eml | plic dmarc read",
		RunE: func(_ *cobra.Command, args []string) error {
			var reports []*dmarcrpt.Report
			problem := eachFile(args, a.in, func(in io.Reader) error {
				r, err := dmarcrpt.Read(in)
				if err == nil {
					reports = append(reports, r)
				}
				return err
			})
			if a.json {
				return errors.Join(jsonLines(a.out, values(reports)), problem)
			}
			a.showReports(reports)
			if list := ways(reports); len(list) > 0 {
				fmt.Fprintln(a.out)
				a.showWays(list)
			}
			return problem
		},
	})
}

// eachFile reads files, or standard input if there are none, and says which could
// not be read.
func eachFile(files []string, in io.Reader, read func(io.Reader) error) (problem error) {
	one := func(name string, in io.Reader) {
		if err := read(in); err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(files) == 0 {
		one("standard input", in)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			problem = errors.Join(problem, err)
			continue
		}
		one(name, f)
		f.Close()
	}
	return problem
}

// sent is what came in our name in one way.
type sent struct {
	Domain   string `json:"domain"` // whose policy it was
	Host     string `json:"host"`
	Author   string `json:"author"`
	DKIM     string `json:"dkim"`
	SPF      string `json:"spf"`
	Done     string `json:"done"`
	Messages int64  `json:"messages"`
}

// passed says that DMARC did.
func passed(r *dmarcrpt.Record) bool {
	return r.Row.Evaluated.DKIM == "pass" || r.Row.Evaluated.SPF == "pass"
}

// showReports prints a row for each report.
func (a *app) showReports(reports []*dmarcrpt.Report) {
	rows := table{head: []string{"DAY", "FROM", "DOMAIN", "POLICY", "MESSAGES", "PASS", "FAIL"}}
	for _, r := range reports {
		var all, good int64
		for i := range r.Records {
			all += r.Records[i].Row.Count
			if passed(&r.Records[i]) {
				good += r.Records[i].Row.Count
			}
		}
		rows.add(time.Unix(r.Metadata.Begin, 0).UTC().Format(time.DateOnly), cmp.Or(r.Metadata.Organization, r.Metadata.Email), r.Policy.Domain, r.Policy.Policy,
			fmt.Sprint(all), fmt.Sprint(good), fmt.Sprint(all-good))
	}
	rows.write(a.out, "")
}

// ways sums up who sent in our name, the most first.
func ways(reports []*dmarcrpt.Report) []sent {
	counts := map[sent]int64{}
	for _, r := range reports {
		for _, x := range r.Records {
			e := &x.Row.Evaluated
			counts[sent{r.Policy.Domain, x.Row.Source, cmp.Or(x.Identifiers.HeaderFrom, r.Policy.Domain), e.DKIM, e.SPF, e.Disposition, 0}] += x.Row.Count
		}
	}
	list := make([]sent, 0, len(counts))
	for x, n := range counts {
		x.Messages = n
		list = append(list, x)
	}
	slices.SortFunc(list, func(x, y sent) int {
		return cmp.Or(cmp.Compare(y.Messages, x.Messages), cmp.Compare(x.Host, y.Host), cmp.Compare(x.Author, y.Author), cmp.Compare(x.DKIM+x.SPF+x.Done, y.DKIM+y.SPF+y.Done))
	})
	return list
}

func (a *app) showWays(list []sent) {
	rows := table{head: []string{"MESSAGES", "HOST", "AUTHOR", "DKIM", "SPF", "DONE"}}
	for _, x := range list {
		rows.add(fmt.Sprint(x.Messages), x.Host, x.Author, x.DKIM, x.SPF, x.Done)
	}
	rows.write(a.out, "")
}
