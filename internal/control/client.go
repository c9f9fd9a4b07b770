package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"plic/internal/embargo"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
)

// Client asks a running server. Its parts have the methods of Operations.
type Client struct{ http *http.Client }

// Dial finds the server that runs on a data directory; ErrNotRunning.
func Dial(ctx context.Context, dir string) (*Client, error) {
	conn, err := dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
	}}}, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Operations are those of the server.
func (c *Client) Operations() Operations {
	return Operations{
		Directory: directoryClient{c},
		Holds:     queueClient{c},
		Index:     indexClient{c},
		Discovery: discoveryClient{c},
		Sessions:  sessionsClient{c},
		DKIM:      dkimClient{c},
		Journal:   journalClient{c},
		Logins:    loginClient{c},
		Moving:    movingClient{c},
		Mailboxes: mailboxClient{c},
		Queue:     queueClient{c},
		Quotas:    quotaClient{c},
		Route:     routeClient{c},
		Sources:   sourcesClient{c},
		Spam:      spamClient{c},
		Storage:   storageClient{c},
		Suppress:  queueClient{c},
		TLS:       tlsClient{c},
		DMARC:     dmarcClient{c},
	}
}

// ask sends an operation and reads the values of its answer.
func ask[Out any](ctx context.Context, c *Client, operation string, in any) iter.Seq2[Out, error] {
	text, err := json.Marshal(in)
	if err != nil {
		return one(*new(Out), err)
	}
	return answers[Out](ctx, c, operation, bytes.NewReader(text))
}

// answers posts a body and reads the values of the answer.
func answers[Out any](ctx context.Context, c *Client, operation string, in io.Reader) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		var zero Out
		body, err := c.send(ctx, operation, in)
		if err != nil {
			yield(zero, err)
			return
		}
		defer body.Close()
		lines := json.NewDecoder(body)
		for {
			var l line[Out]
			switch err := lines.Decode(&l); {
			case err != nil:
				yield(zero, fmt.Errorf("the server's answer to %s was cut off: %w", operation, err))
				return
			case l.Error != nil:
				yield(zero, l.Error)
				return
			case l.Done:
				io.Copy(io.Discard, body) // so that the connection can be used again
				return
			case l.Value == nil:
				yield(zero, fmt.Errorf("the server's answer to %s is not understood: is it of this version?", operation))
				return
			}
			if !yield(*l.Value, nil) {
				return
			}
		}
	}
}

// send posts a body and gives that of the answer.
func (c *Client) send(ctx context.Context, operation string, in io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plic/v1/"+operation, in)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", errors.Unwrap(err))
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
		return nil, fmt.Errorf("the server does not take %s: %s", operation, strings.TrimSpace(string(said)))
	}
	return answer.Body, nil
}

// first asks for an operation that gives one value.
func first[Out any](ctx context.Context, c *Client, operation string, in any) (Out, error) {
	for out, err := range ask[Out](ctx, c, operation, in) {
		return out, err
	}
	var none Out
	return none, fmt.Errorf("the server's answer to %s is empty: is it of this version?", operation)
}

// do asks for an operation that gives nothing back.
func (c *Client) do(ctx context.Context, operation string, in any) error {
	for _, err := range ask[nothing](ctx, c, operation, in) {
		return err
	}
	return nil
}

type directoryClient struct{ *Client }

func (c directoryClient) Domains(ctx context.Context) iter.Seq2[Domain, error] {
	return ask[Domain](ctx, c.Client, "domain/list", nothing{})
}
func (c directoryClient) AddDomain(ctx context.Context, domain string) error {
	return c.do(ctx, "domain/add", name{domain})
}
func (c directoryClient) RemoveDomain(ctx context.Context, domain string) error {
	return c.do(ctx, "domain/remove", name{domain})
}
func (c directoryClient) Accounts(ctx context.Context) iter.Seq2[Account, error] {
	return ask[Account](ctx, c.Client, "account/list", nothing{})
}
func (c directoryClient) AddAccount(ctx context.Context, who, password string) error {
	return c.do(ctx, "account/add", login{who, password})
}
func (c directoryClient) SetPassword(ctx context.Context, who, password string) error {
	return c.do(ctx, "account/passwd", login{who, password})
}
func (c directoryClient) RemoveAccount(ctx context.Context, who string, purge bool) error {
	return c.do(ctx, "account/remove", account{who, purge})
}
func (c directoryClient) Aliases(ctx context.Context) iter.Seq2[Alias, error] {
	return ask[Alias](ctx, c.Client, "alias/list", nothing{})
}
func (c directoryClient) AddAlias(ctx context.Context, a Alias) error {
	return c.do(ctx, "alias/add", a)
}
func (c directoryClient) RemoveAlias(ctx context.Context, a Alias) error {
	return c.do(ctx, "alias/remove", a)
}

type queueClient struct{ *Client }

func (c queueClient) List(ctx context.Context, f queue.Filter) iter.Seq2[queue.Listed, error] {
	return ask[queue.Listed](ctx, c.Client, "queue/list", f)
}
func (c queueClient) Shapes(ctx context.Context, f queue.Filter, by queue.By) iter.Seq2[queue.Shape, error] {
	return ask[queue.Shape](ctx, c.Client, "queue/shapes", shaping{f, by})
}
func (c queueClient) Message(ctx context.Context, id mail.ID) (io.ReadCloser, error) {
	next, stop := iter.Pull2(ask[fragment](ctx, c.Client, "queue/message", id))
	r := &fragmentReader{next: next, stop: stop}
	if err := r.fill(); err != nil && err != io.EOF {
		stop()
		return nil, err
	}
	return r, nil
}
func (c queueClient) Change(ctx context.Context, change Change) (queue.Result, error) {
	return first[queue.Result](ctx, c.Client, "queue/change", change)
}
func (c queueClient) Rules(ctx context.Context) iter.Seq2[embargo.Rule, error] {
	return ask[embargo.Rule](ctx, c.Client, "hold/list", nothing{})
}
func (c queueClient) AddRule(ctx context.Context, f queue.Filter, why string) (embargo.Rule, error) {
	return first[embargo.Rule](ctx, c.Client, "hold/add", holding{f, why})
}
func (c queueClient) RemoveRule(ctx context.Context, id mail.ID, release bool) error {
	return c.do(ctx, "hold/remove", ending{id, release})
}
func (c queueClient) Suppressed(ctx context.Context) iter.Seq2[embargo.Suppressed, error] {
	return ask[embargo.Suppressed](ctx, c.Client, "suppression/list", nothing{})
}
func (c queueClient) Suppress(ctx context.Context, address string, d time.Duration, why string) error {
	return c.do(ctx, "suppression/add", suppressing{address, d, why})
}
func (c queueClient) Unsuppress(ctx context.Context, address string) error {
	return c.do(ctx, "suppression/remove", name{address})
}

type journalClient struct{ *Client }

func (c journalClient) Find(ctx context.Context, q journal.Query) iter.Seq2[journal.Event, error] {
	return ask[journal.Event](ctx, c.Client, "journal/find", q)
}

type tlsClient struct{ *Client }

func (c tlsClient) Policy(ctx context.Context, domain string) iter.Seq2[TLSPolicy, error] {
	return ask[TLSPolicy](ctx, c.Client, "tls/policy", name{domain})
}
func (c tlsClient) Forget(ctx context.Context, domain string) error {
	return c.do(ctx, "tls/forget", name{domain})
}

type routeClient struct{ *Client }

func (c routeClient) Explain(ctx context.Context, q RouteQuery) (Way, error) {
	return first[Way](ctx, c.Client, "route/explain", q)
}

func (c tlsClient) Records(ctx context.Context) iter.Seq2[Record, error] {
	return ask[Record](ctx, c.Client, "tls/records", nothing{})
}
func (c tlsClient) Rotate(ctx context.Context, force bool) error {
	return c.do(ctx, "tls/rotate", force)
}
func (c tlsClient) Reports(ctx context.Context, days int) iter.Seq2[TLSReport, error] {
	return ask[TLSReport](ctx, c.Client, "tls/reports", days)
}
func (c tlsClient) Certificate(ctx context.Context) (Certificate, error) {
	return first[Certificate](ctx, c.Client, "tls/certificate", nothing{})
}

type dmarcClient struct{ *Client }

func (c dmarcClient) Reports(ctx context.Context, days int) iter.Seq2[DMARCReport, error] {
	return ask[DMARCReport](ctx, c.Client, "dmarc/reports", days)
}

type discoveryClient struct{ *Client }

func (c discoveryClient) Records(ctx context.Context, domain string) iter.Seq2[Record, error] {
	return ask[Record](ctx, c.Client, "discovery/records", name{domain})
}

// fragmentReader reads a message as it comes in.
type fragmentReader struct {
	next func() (fragment, error, bool)
	stop func()
	rest []byte
	err  error
}

// fill gets the next fragment when there is nothing left of the last.
func (r *fragmentReader) fill() error {
	for len(r.rest) == 0 && r.err == nil {
		f, err, more := r.next()
		if !more {
			err = io.EOF
		}
		r.rest, r.err = f.Bytes, err
	}
	if len(r.rest) > 0 {
		return nil
	}
	return r.err
}

// Read gives what has come in.
func (r *fragmentReader) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close ends the reading early or late.
func (r *fragmentReader) Close() error {
	r.stop()
	return nil
}

type indexClient struct{ *Client }

func (c indexClient) Status(ctx context.Context, account string) iter.Seq2[IndexStatus, error] {
	return ask[IndexStatus](ctx, c.Client, "index/status", name{account})
}
func (c indexClient) Rebuild(ctx context.Context, account string) iter.Seq2[IndexStatus, error] {
	return ask[IndexStatus](ctx, c.Client, "index/rebuild", name{account})
}
