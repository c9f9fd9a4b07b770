package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"plic/internal/moving"
)

// Letters go as they are behind the order, or in an answer of their own: they
// are too long for lines of JSON.

// putOrder stands before letters.
type putOrder struct {
	moving.Order
	Letters int `json:"letters"`
}

// maxPut bounds the letters of one request.
const maxPut = 4096

func moves(m *http.ServeMux, s moving.Site) {
	list(m, "mail/open", func(ctx context.Context, o moving.Order) iter.Seq2[moving.State, error] { return one(s.Open(ctx, o)) })
	act(m, "mail/settle", func(ctx context.Context, o moving.Order) error { return s.Settle(ctx, o) })
	list(m, "mail/folders", func(ctx context.Context, x name) iter.Seq2[[]moving.Folder, error] {
		return one(s.Folders(ctx, x.Name))
	})
	m.HandleFunc("POST /v1/mail/put", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := json.NewEncoder(w)
		placed, err := put(r, s)
		if err != nil {
			e := asError(err)
			e.Refused = errors.As(err, new(*moving.Refused))
			out.Encode(line[nothing]{Error: e})
			return
		}
		out.Encode(line[[]moving.Placed]{Value: &placed})
		out.Encode(line[nothing]{Done: true})
	})
	m.HandleFunc("POST /v1/mail/get", func(w http.ResponseWriter, r *http.Request) {
		var in moving.Order
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
			http.Error(w, "bad request: "+err.Error(), http.StatusBadRequest)
			return
		}
		out := bufio.NewWriterSize(w, chunkSize)
		defer out.Flush()
		for l, err := range s.Get(r.Context(), in.Account, in.Folder.Name) {
			var bad *moving.Bad
			switch {
			case errors.As(err, &bad):
				err = moving.WriteBad(out, bad)
			case err != nil:
				moving.WriteEnd(out, err)
				return
			default:
				err = moving.WriteLetter(out, &l)
			}
			if err != nil {
				return // the client went away
			}
		}
		moving.WriteEnd(out, nil)
	})
}

// put reads letters and keeps them.
func put(r *http.Request, s moving.Site) ([]moving.Placed, error) {
	in := moving.NewReader(r.Body)
	head, err := in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("bad request: %w", err)
	}
	var o putOrder
	if err := json.Unmarshal(head, &o); err != nil || o.Letters < 0 || o.Letters > maxPut {
		return nil, fmt.Errorf("bad request: %d letters, %w", o.Letters, err)
	}
	letters := make([]moving.Letter, o.Letters)
	for i := range letters {
		if letters[i], err = moving.ReadLetter(in); err != nil {
			return nil, err
		}
	}
	return s.Put(r.Context(), o.Order, letters)
}

type movingClient struct{ *Client }

func (c movingClient) Open(ctx context.Context, o moving.Order) (moving.State, error) {
	return first[moving.State](ctx, c.Client, "mail/open", o)
}
func (c movingClient) Settle(ctx context.Context, o moving.Order) error {
	return c.do(ctx, "mail/settle", o)
}
func (c movingClient) Folders(ctx context.Context, account string) ([]moving.Folder, error) {
	return first[[]moving.Folder](ctx, c.Client, "mail/folders", name{account})
}

func (c movingClient) Put(ctx context.Context, o moving.Order, letters []moving.Letter) ([]moving.Placed, error) {
	head, err := json.Marshal(putOrder{o, len(letters)})
	if err != nil {
		return nil, err
	}
	read, write := io.Pipe()
	go func() {
		_, err := write.Write(append(head, '\n'))
		for i := 0; i < len(letters) && err == nil; i++ {
			err = moving.WriteLetter(write, &letters[i])
		}
		write.CloseWithError(err)
	}()
	defer read.Close()
	for placed, err := range answers[[]moving.Placed](ctx, c.Client, "mail/put", read) {
		var said *Error
		if errors.As(err, &said) && said.Refused {
			err = &moving.Refused{Err: err}
		}
		return placed, err
	}
	return nil, errors.New("the server's answer to mail/put is empty")
}

func (c movingClient) Get(ctx context.Context, account, mailbox string) iter.Seq2[moving.Letter, error] {
	return func(yield func(moving.Letter, error) bool) {
		text, err := json.Marshal(moving.Order{Account: account, Folder: moving.Folder{Name: mailbox}})
		if err != nil {
			yield(moving.Letter{}, err)
			return
		}
		body, err := c.send(ctx, "mail/get", bytes.NewReader(text))
		if err != nil {
			yield(moving.Letter{}, err)
			return
		}
		defer body.Close()
		in := moving.NewReader(body)
		for {
			l, err := moving.ReadLetter(in)
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			var bad *moving.Bad
			if !yield(l, err) || err != nil && !errors.As(err, &bad) {
				return
			}
		}
	}
}
