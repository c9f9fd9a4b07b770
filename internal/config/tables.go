package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"plic/internal/table"
)

// tables is one table or several: a spec such as "file:/etc/plic/virtual", a
// list of specs, or the table itself as {"key" = "value"}.
type tables struct{ p *[]string }

func (t tables) kind() string { return "table, or list of tables" }

func (t tables) text() string {
	parts := make([]string, len(*t.p))
	for i, spec := range *t.p {
		parts[i] = quote(spec)
		if text, inline := strings.CutPrefix(spec, "inline:"); inline && len(*t.p) == 1 {
			if pairs, err := table.ParseInline(text); err == nil {
				return inlineTOML(pairs)
			}
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func inlineTOML(pairs map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		parts = append(parts, quote(key)+" = "+quote(pairs[key]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (t tables) read(v any) error {
	const want = `a table such as "file:/etc/plic/table" or {"key" = "value"}, or a list of them`
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	var specs []string
	var errs []error
	for _, item := range items {
		spec, err := readTable(item, want)
		if err != nil {
			errs = append(errs, err)
		} else if spec != "" {
			specs = append(specs, spec)
		}
	}
	if len(errs) == 0 {
		*t.p = specs
	}
	return errors.Join(errs...)
}

func readTable(v any, want string) (string, error) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "", nil
		}
		_, _, err := table.Split(v)
		if err == nil && strings.HasPrefix(v, "inline:") {
			_, err = table.Open(v, table.Options{})
		}
		return v, err
	case map[string]any:
		pairs := map[string]string{}
		for key, value := range v {
			text, ok := value.(string)
			if !ok {
				return "", fmt.Errorf("%q: %w; keys with dots stand in quotes", key, wrongType("text in quotes", value))
			}
			pairs[key] = text
		}
		spec := table.Inline(pairs)
		_, err := table.Open(spec, table.Options{})
		return spec, err
	}
	return "", wrongType(want, v)
}

// eachTable gives the specs of every setting that holds tables.
func (c *Config) eachTable(do func(setting string, spec *string)) {
	for _, s := range c.Sections() {
		for _, x := range s.Settings {
			if t, ok := x.value.(tables); ok {
				for i := range *t.p {
					do(s.full(x.Name), &(*t.p)[i])
				}
			}
		}
	}
}

// resolveTable lets the relative path of a spec start at a directory.
func resolveTable(spec *string, dir string) {
	if path := table.Path(*spec); path != "" && !filepath.IsAbs(path) {
		driver, _, _ := strings.Cut(*spec, ":")
		*spec = driver + ":" + filepath.Join(dir, path)
	}
}
