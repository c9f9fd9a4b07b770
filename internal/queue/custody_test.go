package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/mail"
)

// memory is a Custody that forgets nothing but what it is told to.
type memory struct {
	mu      sync.Mutex
	items   map[mail.ID]mail.Item
	reports []mail.Report
	settles int
	reads   int
	fail    int // settlements to refuse
	block   chan struct{}
}

func newMemory(items ...*mail.Item) *memory {
	m := &memory{items: map[mail.ID]mail.Item{}}
	for _, item := range items {
		m.items[item.ID] = clone(*item)
	}
	return m
}

func clone(item mail.Item) mail.Item {
	item.To = slices.Clone(item.To)
	return item
}

func (m *memory) Items(context.Context) iter.Seq2[mail.Item, error] {
	return func(yield func(mail.Item, error) bool) {
		m.mu.Lock()
		var all []mail.Item
		for _, item := range m.items {
			all = append(all, clone(item))
		}
		m.mu.Unlock()
		slices.SortFunc(all, func(a, b mail.Item) int { return strings.Compare(a.ID.String(), b.ID.String()) })
		for _, item := range all {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (m *memory) Item(_ context.Context, id mail.ID) (mail.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	item, ok := m.items[id]
	if !ok {
		return mail.Item{}, fmt.Errorf("item %v: %w", id, ErrNotFound)
	}
	return clone(item), nil
}

type emptyBody struct{ *strings.Reader }

func (emptyBody) Close() error { return nil }

func (m *memory) OpenBody(context.Context, *mail.Item) (mail.Body, error) {
	return emptyBody{strings.NewReader("")}, nil
}

func (m *memory) Settle(_ context.Context, s Settlement) error {
	if m.block != nil {
		<-m.block
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settles++
	if m.fail > 0 {
		m.fail--
		return errors.New("disk full")
	}
	for _, item := range s.Put {
		m.items[item.ID] = clone(item)
	}
	for _, id := range s.Drop {
		delete(m.items, id)
	}
	m.reports = append(m.reports, s.Reports...)
	return nil
}

func (m *memory) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items)
}

// numbers are settlements and reads so far.
func (m *memory) numbers() (settles, reads int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settles, m.reads
}

func (m *memory) put(item *mail.Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[item.ID] = clone(*item)
}

func (m *memory) refuse(settlements int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = settlements
}

func (m *memory) only(t *testing.T) mail.Item {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) != 1 {
		t.Fatalf("%d items left, want one", len(m.items))
	}
	for _, item := range m.items {
		return clone(item)
	}
	panic("unreachable")
}

// told are the reports so far: "failure a@x.test,b@x.test 550".
func (m *memory) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, r := range m.reports {
		list = append(list, string(r.Message))
	}
	return list
}

// reporter writes reports that say what they were asked for: "failure x,y 550",
// the kinds apart by "; ".
type reporter struct{}

func (reporter) Report(item *mail.Item, fates []mail.Fate) (mail.Report, bool) {
	var parts []string
	for _, kind := range []struct {
		kind mail.Notify
		name string
	}{{mail.NotifyFailure, "failure"}, {mail.NotifyDelay, "delay"}, {mail.NotifySuccess, "success"}} {
		var to []string
		code := 0
		for _, f := range fates {
			if f.Kind == kind.kind {
				to = append(to, f.Address.Local)
				code = f.Last.Code
			}
		}
		if len(to) > 0 {
			slices.Sort(to)
			parts = append(parts, fmt.Sprintf("%s %s %d", kind.name, strings.Join(to, ","), code))
		}
	}
	return mail.Report{Message: []byte(strings.Join(parts, "; "))}, true
}

// transport delivers as the test says.
type transport struct {
	mu    sync.Mutex
	tries []time.Time
	do    func(ctx context.Context, item *mail.Item, n int) []mail.Outcome
}

func (tr *transport) Deliver(ctx context.Context, item *mail.Item, _ mail.Body) []mail.Outcome {
	tr.mu.Lock()
	tr.tries = append(tr.tries, time.Now())
	n := len(tr.tries)
	tr.mu.Unlock()
	return tr.do(ctx, item, n)
}

func (tr *transport) count() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.tries)
}

func (tr *transport) times() []time.Time {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.tries)
}

// outcomes gives statuses: "250 451 550" by recipient, the last for the rest.
func outcomes(codes ...int) func(context.Context, *mail.Item, int) []mail.Outcome {
	return func(_ context.Context, item *mail.Item, _ int) []mail.Outcome {
		var list []mail.Outcome
		for i := range item.To {
			code := codes[min(i, len(codes)-1)]
			list = append(list, mail.Outcome{Status: mail.Reply(code, "", "said"), Host: "mx.test", Remote: "192.0.2.1:25"})
		}
		return list
	}
}

// itemTo is an item of now.
func itemTo(host string, names ...string) *mail.Item {
	item := newItem(host, time.Now())
	item.To = nil
	for _, name := range names {
		item.To = append(item.To, mail.ItemRcpt{Recipient: mail.Recipient{Address: mail.MustAddress(name + "@" + host)}})
	}
	return item
}

// running is a queue at work in a bubble.
type running struct {
	*Queue
	m    *memory
	tr   *transport
	stop func()
}

func run(t *testing.T, m *memory, do func(context.Context, *mail.Item, int) []mail.Outcome, edit func(*Options)) *running {
	t.Helper()
	tr := &transport{do: do}
	o := Options{Custody: m, Reporter: reporter{}, Transports: map[mail.HopKind]Transport{mail.HopRemote: tr}}
	if edit != nil {
		edit(&o)
	}
	q := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); <-ended }) }
	t.Cleanup(stop)
	return &running{q, m, tr, stop}
}
