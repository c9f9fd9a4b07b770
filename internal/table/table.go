// Package table looks keys up in tables that an administrator writes: in the
// settings themselves, or in text files that are read again when they change. A
// table that cannot answer says so: that is trouble, which passes, and never
// the same as having no such key.
//
// A table is named by a spec, "driver:argument":
//
//	inline:{example.org=smtp:[192.0.2.1], "a key"="a value"}
//	file:/etc/plic/virtual        a key and its value on each line
//	aliases:/etc/aliases          "name: value", as sendmail has it
//	regexp:/etc/plic/rules        "/pattern/ value", $1 for what matched
//	cidr:/etc/plic/networks       "192.0.2.0/24 value"
//	socketmap:unix:/run/map:name  a program, as sendmail asks one
//	tcp:127.0.0.1:2527            a program, as Postfix asks one
//
// Databases and LDAP come by Options.Drivers.
package table

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"plic/internal/vfs"
)

// Table answers look-ups. Its method may be called at the same time. A key that
// is not there is found false; an error is temporary and says nothing about
// what is in the table.
type Table interface {
	Lookup(ctx context.Context, key string) (value string, found bool, err error)
}

// Driver opens the tables of one kind.
type Driver func(argument string) (Table, error)

// Options are what tables are opened with.
type Options struct {
	FS  vfs.FS
	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // nil for none
	// Drivers are those beside the drivers of this package, by name.
	Drivers map[string]Driver
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = vfs.Disk()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// drivers are those of this package. A driver of files takes a path.
func (o Options) drivers() map[string]Driver {
	text := func(parse func([]byte) (content, error)) Driver {
		return func(path string) (Table, error) { return openFile(o, path, parse) }
	}
	all := map[string]Driver{
		"inline":  openInline,
		"file":    text(parseFile),
		"aliases": text(parseAliases),
		"regexp":  text(parseRegexp),
		"cidr":    text(parseCIDR),

		"socketmap": openSocketmap,
		"tcp":       openTCP,
	}
	maps.Copy(all, o.Drivers)
	return all
}

// Open opens the table that a spec names.
func Open(spec string, o Options) (Table, error) {
	o.defaults()
	driver, argument, err := Split(spec)
	if err != nil {
		return nil, err
	}
	all := o.drivers()
	open := all[driver]
	if open == nil {
		return nil, fmt.Errorf("table %q: there is no driver %q; there are %s", spec, driver, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	t, err := open(argument)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", Name(spec), err)
	}
	return t, nil
}

// Split cuts a spec into its driver and what the driver is told.
func Split(spec string) (driver, argument string, err error) {
	driver, argument, ok := strings.Cut(spec, ":")
	if !ok || driver == "" || argument == "" {
		return "", "", fmt.Errorf(`%q names no table: write "file:/etc/plic/table" or "inline:{key=value}"`, spec)
	}
	return driver, argument, nil
}

// Path is the file that a spec names, "" if it names none.
func Path(spec string) string {
	switch driver, argument, err := Split(spec); {
	case err != nil:
	case driver == "file", driver == "aliases", driver == "regexp", driver == "cidr":
		return argument
	}
	return ""
}

// Name is a spec as it is told: without the content of an inline table.
func Name(spec string) string {
	if strings.HasPrefix(spec, "inline:") {
		return "inline"
	}
	return spec
}

// Named is a table with the name that people know it by.
type Named struct {
	Name string
	Table
}

// List is several tables, asked in order: the first that has a key answers. The
// zero value is an empty table.
type List []Named

// Lookup asks the tables in order. One that is in trouble ends the look-up: a
// later one might answer what the first would not have.
func (l List) Lookup(ctx context.Context, key string) (string, bool, error) {
	for _, t := range l {
		value, found, err := t.Lookup(ctx, key)
		if err != nil {
			return "", false, fmt.Errorf("table %s: %w", t.Name, err)
		}
		if found {
			return value, true, nil
		}
	}
	return "", false, nil
}

// OpenAll opens a list of tables.
func OpenAll(specs []string, o Options) (List, error) {
	var list List
	var errs []error
	for _, spec := range specs {
		t, err := Open(spec, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, Named{Name(spec), t})
	}
	return list, errors.Join(errs...)
}

// fold is the form in which keys are compared.
func fold(key string) string { return strings.ToLower(key) }

// content is what a file or a setting holds.
type content interface {
	lookup(key string) (value string, found bool)
}

// pairs is content by key.
type pairs map[string]string

func (p pairs) lookup(key string) (string, bool) {
	value, found := p[fold(key)]
	return value, found
}

func (p pairs) add(key, value string) error {
	key = fold(key)
	if _, twice := p[key]; twice {
		return fmt.Errorf("%q is there twice", key)
	}
	p[key] = value
	return nil
}

// fixed is a table whose content does not change.
type fixed struct{ content }

// Lookup finds a key.
func (f fixed) Lookup(_ context.Context, key string) (string, bool, error) {
	value, found := f.lookup(key)
	return value, found, nil
}
