package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"plic/internal/directory"
)

// Parameters are the names that a query may have.
func Parameters() []string {
	return []string{"account", "address", "domain", "key", "local", "login"}
}

// query is a query as its database wants it, and the names of its parameters in
// their order.
type query struct {
	text  string
	names []string
}

// compile puts the parameters of a kind of database in the place of names
// behind a colon, outside of what is quoted or a comment.
func compile(kind Kind, text string) (query, error) {
	var q query
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := quoted(kind, text[i:]); n > 0 {
			b.WriteString(text[i : i+n])
			i += n
			continue
		}
		name := parameter(text, i)
		if name == "" {
			b.WriteByte(text[i])
			i++
			continue
		}
		if !slices.Contains(Parameters(), name) {
			return q, fmt.Errorf("there is no parameter :%s; there are :%s", name, strings.Join(Parameters(), ", :"))
		}
		i += 1 + len(name)
		if kind != PostgreSQL {
			b.WriteByte('?')
			q.names = append(q.names, name)
			continue
		}
		at := slices.Index(q.names, name)
		if at < 0 {
			at, q.names = len(q.names), append(q.names, name)
		}
		b.WriteString("$" + strconv.Itoa(at+1))
	}
	q.text = strings.TrimSpace(b.String())
	if q.text == "" {
		return q, errors.New("the query is empty")
	}
	return q, nil
}

// parameter is the name at a colon, "" if there is none: "::type" of PostgreSQL
// is a cast, and "a:b" part of a word.
func parameter(text string, i int) string {
	if text[i] != ':' || i > 0 && (text[i-1] == ':' || isWord(text[i-1])) {
		return ""
	}
	end := i + 1
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == i+1 || text[i+1] >= '0' && text[i+1] <= '9' {
		return ""
	}
	return text[i+1 : end]
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quoted is the length of a string, a quoted name or a comment that a text
// begins with, 0 if it begins with none. One that does not end goes to the end.
func quoted(kind Kind, text string) int {
	through := func(start int, end string) int {
		if i := strings.Index(text[start:], end); i >= 0 {
			return start + i + len(end)
		}
		return len(text)
	}
	switch {
	case strings.HasPrefix(text, "--"), kind == MySQL && text[0] == '#':
		return through(1, "\n")
	case strings.HasPrefix(text, "/*"):
		return through(2, "*/")
	case kind == PostgreSQL && text[0] == '$':
		if tag := strings.IndexByte(text[1:], '$'); tag >= 0 && !strings.ContainsFunc(text[1:1+tag], func(c rune) bool { return c < 0x80 && !isWord(byte(c)) }) {
			return through(tag+2, text[:tag+2])
		}
	case text[0] == '\'' || text[0] == '"' || text[0] == '`':
		for i := 1; i < len(text); i++ {
			switch {
			case text[i] == '\\' && kind == MySQL && text[0] != '`':
				i++
			case text[i] == text[0]: // a doubled one begins anew
				return i + 1
			}
		}
		return len(text)
	}
	return 0
}

// values are what the parameters of a question stand for.
type values struct{ whole, local, domain string }

func (v values) get(name string) any {
	switch name {
	case "local":
		return v.local
	case "domain":
		return v.domain
	}
	return v.whole
}

// statement is a prepared query.
type statement struct {
	d *Database
	query

	mu       sync.Mutex
	prepared *sql.Stmt
}

func (d *Database) statement(text string) (*statement, error) {
	q, err := compile(d.o.Kind, text)
	if err != nil {
		return nil, err
	}
	return &statement{d: d, query: q}, nil
}

// run asks the database. The driver of PostgreSQL keeps statements by itself, and
// makes them anew when a table has changed.
func (s *statement) run(ctx context.Context, args []any) (*sql.Rows, error) {
	if s.d.o.Kind == PostgreSQL {
		return s.d.db.QueryContext(ctx, s.text, args...)
	}
	prepared, err := s.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return prepared.QueryContext(ctx, args...)
}

// prepare prepares the statement once; database/sql does so on each connection.
func (s *statement) prepare(ctx context.Context) (*sql.Stmt, error) {
	s.mu.Lock()
	prepared := s.prepared
	s.mu.Unlock()
	if prepared != nil {
		return prepared, nil
	}
	prepared, err := s.d.db.PrepareContext(ctx, s.text)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared != nil { // another was quicker
		prepared.Close()
	} else {
		s.prepared = prepared
	}
	return s.prepared, nil
}

// row is what a query has found, by the names of columns in lower case. NULL is
// no field.
type row struct {
	columns []string
	fields  map[string]string
}

// first is the value of the first column.
func (r row) first() string { return r.fields[r.columns[0]] }

// maxRows bounds what a query may find.
const maxRows = 10_000

// ask runs the query. A server that went away meanwhile is asked once more: to
// look is to change nothing.
func (s *statement) ask(ctx context.Context, v values) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, s.d.o.Timeout)
	defer cancel()
	started := time.Now()
	rows, err := s.once(ctx, v)
	if err != nil && lost(err) && ctx.Err() == nil {
		rows, err = s.once(ctx, v)
	}
	if directory.Told(ctx) {
		directory.Tell(ctx, directory.Step{Source: string(s.d.o.Kind), Question: "query", Key: strings.Join(strings.Fields(s.text), " "), Answer: fmt.Sprintf("%d rows", len(rows)), Err: err, Took: time.Since(started)})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.d.o.Kind, err)
	}
	return rows, nil
}

// lost says that the server has gone, rather than answered, or that a table has
// changed under a statement (0A000).
func lost(err error) bool {
	var network net.Error
	var postgres *pgconn.PgError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, mysql.ErrInvalidConn) || errors.As(err, &network) ||
		errors.As(err, &postgres) && (strings.HasPrefix(postgres.Code, "57") || strings.HasPrefix(postgres.Code, "08") || postgres.Code == "0A000")
}

func (s *statement) once(ctx context.Context, v values) ([]row, error) {
	args := make([]any, len(s.names))
	for i, name := range s.names {
		args[i] = v.get(name)
	}
	found, err := s.run(ctx, args)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return nil, err
	}
	for i := range columns {
		columns[i] = strings.ToLower(columns[i])
	}
	var all []row
	cells := make([]sql.NullString, len(columns))
	to := make([]any, len(columns))
	for i := range cells {
		to[i] = &cells[i]
	}
	for found.Next() {
		if len(all) == maxRows {
			return nil, fmt.Errorf("the query finds more than %d rows", maxRows)
		}
		if err := found.Scan(to...); err != nil {
			return nil, err
		}
		r := row{columns, map[string]string{}}
		for i, cell := range cells {
			if cell.Valid {
				r.fields[columns[i]] = cell.String
			}
		}
		all = append(all, r)
	}
	return all, found.Err()
}
