package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Load reads and checks a file; what it names is looked for too. Paths in the
// result are absolute or start where path does. The error is Problems, or says
// why the file could not be read.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, at, problems := parse(path, text)
	c.resolve(filepath.Dir(path))
	problems = append(problems, c.checkFiles(path, at)...)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return c, nil
}

// Read is Load for a program that may not see what the file names, such as the
// sendmail command of any user: nothing else is opened.
func Read(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, _, problems := parse(path, text)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	c.resolve(filepath.Dir(path))
	return c, nil
}

// Parse reads and checks the text of a file called name. Paths are left as they
// stand and are not looked for.
func Parse(name string, text []byte) (*Config, error) {
	c, _, problems := parse(name, text)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return c, nil
}

// position is a place in a file.
type position struct{ line, column int }

// positions say where the file names each setting and section.
type positions map[string]position

func (at positions) problem(file, setting, text string) Problem {
	p := at[setting]
	return Problem{File: file, Line: p.line, Column: p.column, Setting: setting, Text: text}
}

func parse(name string, text []byte) (*Config, positions, Problems) {
	c := Default()
	values, text, problems := decode(name, text)
	at := locate(text)
	for i := range problems {
		problems[i].File = name
	}
	r := reader{file: name, at: at, config: c, sections: c.Sections()}
	r.document(values)
	problems = append(problems, r.problems...)
	// A cross-check would only repeat a fault that was told already.
	if len(problems) == 0 {
		problems = c.check(name, at)
	}
	return c, at, problems
}

// decode reads TOML. It goes on behind a line that is not TOML, so that all
// faults are told at once, and gives back the text without such lines.
func decode(name string, text []byte) (map[string]any, []byte, Problems) {
	text = bytes.Clone(text)
	var problems Problems
	last := -1
	for {
		values := map[string]any{}
		err := toml.Unmarshal(text, &values)
		if err == nil {
			return values, text, problems
		}
		var fault *toml.DecodeError
		if !errors.As(err, &fault) {
			return map[string]any{}, nil, append(problems, Problem{File: name, Text: err.Error()})
		}
		line, column := fault.Position()
		// A fault right behind another, or in the head of a section, makes all
		// that follows doubtful.
		if line > last+1 || last < 0 {
			problems = append(problems, Problem{File: name, Line: line, Column: column, Text: explain(fault)})
			if !blank(text, line, false) {
				return values, text, problems
			}
			last = line
			continue
		}
		if !blank(text, last, true) {
			return map[string]any{}, nil, problems
		}
	}
}

// blank overwrites a line, or all from that line on, with spaces; also when it
// is the head of a section. It says whether that changed anything.
func blank(text []byte, line int, rest bool) bool {
	start := 0
	for range line - 1 {
		start += bytes.IndexByte(text[start:], '\n') + 1
	}
	end := len(text)
	head := bytes.HasPrefix(bytes.TrimLeft(text[start:], " \t"), []byte("["))
	if i := bytes.IndexByte(text[start:], '\n'); i >= 0 && !rest && !head {
		end = start + i
	}
	changed := false
	for i := start; i < end; i++ {
		if text[i] != ' ' && text[i] != '\n' {
			text[i] = ' '
			changed = true
		}
	}
	return changed
}

// explain puts the commonest faults of TOML in words for people.
func explain(fault *toml.DecodeError) string {
	text := strings.TrimPrefix(fault.Error(), "toml: ")
	switch key := strings.Join(fault.Key(), "."); {
	case text == "strings must be quoted":
		return `text, durations and sizes stand in quotes: name = "value"`
	case strings.HasPrefix(text, "expected keyword"), strings.HasSuffix(text, "at start of value"):
		return `a value is wanted here: text in quotes, a number, true, false, or a list that ends with "]"`
	case strings.HasPrefix(text, "key ") && strings.HasSuffix(text, "is already defined"):
		return fmt.Sprintf("%s is set twice: keep one of them", key)
	case strings.HasPrefix(text, "table ") && strings.Contains(text, "already exists"):
		return fmt.Sprintf("section [%s] begins twice: put its settings together", key)
	}
	return text
}

// locate finds where each setting and section is named.
func locate(text []byte) positions {
	at := positions{}
	var p unstable.Parser
	p.Reset(text)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			prefix = at.note(&p, "", e.Key())
		case unstable.KeyValue:
			at.keyValue(&p, prefix, e)
		}
	}
	return at
}

func (at positions) keyValue(p *unstable.Parser, prefix string, n *unstable.Node) {
	name := at.note(p, prefix, n.Key())
	if v := n.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			at.keyValue(p, name, it.Node())
		}
	}
}

// note records a dotted key, and gives its full name.
func (at positions) note(p *unstable.Parser, prefix string, key unstable.Iterator) string {
	name := prefix
	for key.Next() {
		if name != "" {
			name += "."
		}
		name += string(key.Node().Data)
		if _, seen := at[name]; !seen {
			start := p.Shape(key.Node().Raw).Start
			at[name] = position{start.Line, start.Column}
		}
	}
	return name
}

// reader puts the values of a document into the settings.
type reader struct {
	file     string
	at       positions
	config   *Config
	sections []Section
	problems Problems
}

// sources makes a section of settings for each [source.name], and reads it.
func (r *reader) sources(values map[string]any) {
	all, there := values["source"]
	if !there {
		return
	}
	delete(values, "source")
	named, ok := all.(map[string]any)
	if !ok {
		r.report("source", "is a group of sections: write [source.name] on a line of its own")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if err := r.config.addSource(name); err != nil {
			r.report("source."+name, err.Error())
			continue
		}
		sources := r.config.Sources
		r.section(sources[len(sources)-1].section(), named[name])
	}
	r.sections = r.config.Sections()
}

func (r *reader) report(setting, text string) {
	r.problems = append(r.problems, r.at.problem(r.file, setting, text))
}

func (r *reader) document(values map[string]any) {
	r.sources(values)
	top := r.sections[0]
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		if i := slices.IndexFunc(r.sections[1:], func(s Section) bool { return s.Name == name }); i >= 0 {
			r.section(r.sections[1+i], v)
			continue
		}
		r.setting(top, name, v)
	}
}

func (r *reader) section(s Section, v any) {
	table, ok := v.(map[string]any)
	if !ok {
		r.report(s.Name, fmt.Sprintf("is a section: write [%s] on a line of its own, once", s.Name))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		r.setting(s, name, table[name])
	}
}

func (r *reader) setting(s Section, name string, v any) {
	i := slices.IndexFunc(s.Settings, func(x Setting) bool { return x.Name == name })
	if i < 0 {
		_, table := v.(map[string]any)
		r.report(s.full(name), r.unknown(s, name, table))
		return
	}
	if err := s.Settings[i].read(v); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			r.report(s.full(name), line)
		}
	}
}

// unknown says that there is no such name, and which one was likely meant.
func (r *reader) unknown(s Section, name string, table bool) string {
	var near, sections []string
	for _, x := range s.Settings {
		near = append(near, x.Name)
	}
	for _, other := range r.sections[1:] {
		sections = append(sections, other.Name)
	}
	if s.Name == "" && table {
		if n := nearest(name, sections); n != "" {
			return fmt.Sprintf("no such section; did you mean [%s]?", n)
		}
		return "no such section; there are [" + strings.Join(sections, "], [") + "]"
	}
	for _, other := range r.sections {
		for _, x := range other.Settings {
			if x.Name == name {
				if other.Name == "" {
					return "no such setting here; it belongs at the top, before the first section"
				}
				return fmt.Sprintf("no such setting here; it belongs in [%s]", other.Name)
			}
		}
	}
	if n := nearest(name, near); n != "" {
		return fmt.Sprintf("no such setting; did you mean %s?", n)
	}
	for _, other := range r.sections {
		for _, x := range other.Settings {
			if nearest(name, []string{x.Name}) != "" {
				return fmt.Sprintf("no such setting; did you mean %s?", other.full(x.Name))
			}
		}
	}
	return "no such setting; `plic config reference` lists them all"
}
