package search

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"plic/internal/casemap"
	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// Bounds of what is gathered in memory before it is written, and of one message:
// what has more words is always looked into.
const (
	maxGathered = 24 << 20
	maxWords    = 200_000
)

// builder gathers the words of messages.
type builder struct {
	uids  []store.UID
	ids   map[string]uint32
	words []string
	lists [][]posting
	bytes int // about what it takes

	tokens tokenizer
	class  Class
	fresh  []uint32 // words that this message is the first to have in its lists
	over   bool
	page   []byte
}

func newBuilder() *builder {
	b := &builder{ids: map[string]uint32{}, page: make([]byte, 32<<10)}
	b.tokens.emit = b.word
	return b
}

// word notes that the message at hand has a word.
func (b *builder) word(w []byte) {
	doc := uint32(len(b.uids))
	id, ok := b.ids[string(w)]
	if !ok {
		text := string(w)
		id = uint32(len(b.words))
		b.ids[text] = id
		b.words = append(b.words, text)
		b.lists = append(b.lists, nil)
		b.bytes += len(w) + 96
	}
	list := b.lists[id]
	if n := len(list); n > 0 && list[n-1].doc == doc {
		list[n-1].class |= b.class
		return
	}
	if len(b.fresh) == maxWords {
		b.over = true
		return
	}
	b.fresh = append(b.fresh, id)
	b.lists[id] = append(list, posting{doc, b.class})
	b.bytes += 10
}

// add takes the words of a message. One that has too many, or cannot be read, is
// left out: it will be looked into.
func (b *builder) add(ctx context.Context, mb *store.Mailbox, e store.Entry, d *store.Detail) error {
	b.fresh, b.over = b.fresh[:0], false
	err := b.message(ctx, mb, e, d)
	if err == nil && !b.over {
		b.uids = append(b.uids, e.UID)
		return nil
	}
	for _, id := range b.fresh {
		b.lists[id] = b.lists[id][:len(b.lists[id])-1]
	}
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrDamaged) {
		return nil
	}
	return err
}

func (b *builder) message(ctx context.Context, mb *store.Mailbox, e store.Entry, d *store.Detail) error {
	if env, _ := imap.ParseEnvelope(d.AppendEnvelope(nil)); env != nil {
		b.envelope(env)
	}
	msg, err := mb.Open(ctx, e)
	if err != nil {
		return err
	}
	defer msg.Close()
	tree, err := msg.Structure()
	if err != nil {
		return err
	}
	if err := WalkFields(msg, tree, func(text string) bool {
		b.string(Header, text)
		return !b.over
	}); err != nil {
		return err
	}
	Walk(tree, func(p *message.Part) bool {
		err = b.read(ctx, Text(msg, p))
		return err == nil && !b.over
	}, func(p *message.Part) bool {
		Fields(p, func(text string) bool {
			b.string(Body, text)
			return !b.over
		})
		return !b.over
	})
	return err
}

func (b *builder) envelope(env *message.Envelope) {
	for _, list := range [...]struct {
		class Class
		all   []message.Mailbox
	}{{From, env.From}, {To, env.To}, {Cc, env.Cc}, {Bcc, env.Bcc}} {
		for _, a := range list.all {
			b.string(list.class, AddressText(a))
		}
	}
	b.string(Subject, message.DecodeHeader(env.Subject))
	b.string(Header, env.MessageID)
	b.string(Header, env.InReplyTo)
}

func (b *builder) string(class Class, text string) {
	b.class = class
	b.tokens.feed(casemap.Fold(text))
	b.tokens.end()
}

// read takes the words of a text.
func (b *builder) read(ctx context.Context, r io.Reader) error {
	b.class = Body
	defer b.tokens.end()
	n := 0
	for !b.over {
		got, err := r.Read(b.page[n:])
		text := b.page[:n+got]
		if err != nil {
			b.tokens.feed(text)
			if err == io.EOF {
				return nil
			}
			return err
		}
		cut := len(text)
		for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
			if c := text[len(text)-back]; utf8.RuneStart(c) {
				if !utf8.FullRune(text[len(text)-back:]) {
					cut -= back
				}
				break
			}
		}
		b.tokens.feed(text[:cut])
		n = copy(b.page, text[cut:])
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) full() bool { return b.bytes >= maxGathered }

// source gives what was gathered as a merge reads it.
func (b *builder) source() *source {
	order := make([]uint32, len(b.words))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int { return strings.Compare(b.words[x], b.words[y]) })
	i := 0
	return &source{b.uids, []stream{func() (word []byte, list []posting, err error) {
		for ; i < len(order); i++ {
			if list := b.lists[order[i]]; len(list) > 0 {
				word = []byte(b.words[order[i]])
				i++
				return word, list, nil
			}
		}
		return nil, nil, nil
	}}}
}
