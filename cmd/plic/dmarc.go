package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"plic/internal/dmarcrpt"

	"github.com/spf13/cobra"
)

func (a *app) dmarcCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "dmarc", Short: "Reports of others about mail in our name",
		Example: "  plic dmarc read reports/*.eml",
	}, a.dmarcRead())
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
			showDMARC(a, reports)
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

// showDMARC prints a row for each report, and then who sent in our name.
func showDMARC(a *app, reports []*dmarcrpt.Report) {
	sums := table{head: []string{"DAY", "FROM", "DOMAIN", "POLICY", "MESSAGES", "PASS", "FAIL"}}
	type source struct{ domain, from, host, dkim, spf, fate string }
	counts := map[source]int64{}
	for _, r := range reports {
		var all, good int64
		for _, x := range r.Records {
			n := x.Row.Count
			all += n
			if x.Row.Evaluated.DKIM == "pass" || x.Row.Evaluated.SPF == "pass" {
				good += n
			}
			counts[source{r.Policy.Domain, x.Identifiers.HeaderFrom, x.Row.Source, x.Row.Evaluated.DKIM, x.Row.Evaluated.SPF, x.Row.Evaluated.Disposition}] += n
		}
		sums.add(time.Unix(r.Metadata.Begin, 0).UTC().Format(time.DateOnly), cmp.Or(r.Metadata.Organization, r.Metadata.Email), r.Policy.Domain, r.Policy.Policy,
			fmt.Sprint(all), fmt.Sprint(good), fmt.Sprint(all-good))
	}
	sums.write(a.out, "")
	sources := make([]source, 0, len(counts))
	for x := range counts {
		sources = append(sources, x)
	}
	slices.SortFunc(sources, func(x, y source) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x.host, y.host), cmp.Compare(x.from, y.from), cmp.Compare(x.dkim+x.spf+x.fate, y.dkim+y.spf+y.fate))
	})
	rows := table{head: []string{"MESSAGES", "HOST", "AUTHOR", "DKIM", "SPF", "DONE"}}
	for _, x := range sources {
		rows.add(fmt.Sprint(counts[x]), x.host, cmp.Or(x.from, x.domain), x.dkim, x.spf, x.fate)
	}
	if len(rows.rows) > 0 {
		fmt.Fprintln(a.out)
	}
	rows.write(a.out, "")
}
