package config

import (
	"fmt"
	"net"
	"strings"
)

func splitPort(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	return host, port
}

// Reference is the documentation of every setting in Markdown: docs/config.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings

One TOML file holds them: ` + "`plic serve --config plic.toml`" + `. The only one that must be
there is ` + "`hostname`" + `; every other has the default shown here. ` + "`plic config check`" + ` tests
a file, and names every fault with its line; ` + "`plic config show`" + ` prints what holds.
Durations are written "5d", "4h", "90s", "1h30m"; sizes "50MiB", "64KiB". A small
site may look like this:

` + "```toml" + `
hostname = "mail.example.org"
data_dir = "/var/lib/plic"

[tls]
cert = "/etc/plic/fullchain.pem"
key = "/etc/plic/privkey.pem"

[smtp]
message_size = "25MiB"
` + "```" + `

On SIGHUP a running server reads its file again. A file with a fault changes
nothing. Settings marked "live" hold for everything that begins from then on; the
others need a restart, and the log names those that changed.

This page is made by ` + "`plic config reference`" + `.
`)
	for _, s := range Default().oneSource().Sections() {
		if s.Name == "" {
			b.WriteString("\n## At the top\n\n")
		} else {
			fmt.Fprintf(&b, "\n## [%s]\n\n", s.Name)
		}
		fmt.Fprintf(&b, "%s\n\n| setting | default | what may be written | changed by |\n|---|---|---|---|\n", s.Doc)
		for _, x := range s.Settings {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", x.Name, defaultText(s, x), x.kind(), changedBy(x))
		}
		b.WriteString("\n")
		for _, x := range s.Settings {
			fmt.Fprintf(&b, "- `%s`: %s\n", x.Name, x.Doc)
		}
	}
	return b.String()
}

func defaultText(s Section, x Setting) string {
	if s.Name == "" && x.Name == "hostname" {
		return "none"
	}
	return "`" + x.text() + "`"
}

func changedBy(x Setting) string {
	if x.Live {
		return "reload (live)"
	}
	return "restart"
}

// Sample is a file that names every setting with its default, commented out.
func Sample(hostname string) string {
	var b strings.Builder
	b.WriteString("# Settings of plic. Every line behind a \"#\" shows a default.\n")
	for _, s := range Default().oneSource().Sections() {
		b.WriteString("\n")
		switch {
		case s.isSource():
			fmt.Fprintf(&b, "# [%s]\n", s.Name) // there is none unless it is written
		case s.Name != "":
			fmt.Fprintf(&b, "[%s]\n", s.Name)
		}
		comment(&b, s.Doc)
		for _, x := range s.Settings {
			b.WriteString("\n")
			comment(&b, x.Doc)
			if s.Name == "" && x.Name == "hostname" {
				fmt.Fprintf(&b, "hostname = %s\n", quote(hostname))
				continue
			}
			if s.isSource() {
				b.WriteString("# ")
			} else {
				b.WriteString("#")
			}
			fmt.Fprintf(&b, "%s = %s\n", x.Name, x.text())
		}
	}
	return b.String()
}

// comment writes text as comment lines of a readable width.
func comment(b *strings.Builder, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 80 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// Show is the whole of what holds, as TOML. There is nothing to hide in it:
// secrets are in files of their own.
func (c *Config) Show() string {
	var b strings.Builder
	for i, s := range c.Sections() {
		if i > 0 {
			fmt.Fprintf(&b, "\n[%s]\n", s.Name)
		}
		for _, x := range s.Settings {
			fmt.Fprintf(&b, "%s = %s\n", x.Name, x.text())
		}
	}
	return b.String()
}

// Change is a setting that differs between two configurations.
type Change struct {
	Setting  string
	Old, New string
	Live     bool // a reload applies it
}

// section finds a section by its name.
func section(all []Section, name string) (Section, bool) {
	for _, s := range all {
		if s.Name == name {
			return s, true
		}
	}
	return Section{}, false
}

// Changes are the settings that differ, in the order of the file.
func Changes(old, new *Config) []Change {
	var changes []Change
	before, after := old.Sections(), new.Sections()
	for _, s := range before {
		other, ok := section(after, s.Name)
		if !ok {
			changes = append(changes, Change{s.Name, "there", "gone", false})
			continue
		}
		for j, x := range s.Settings {
			if y := other.Settings[j]; x.text() != y.text() {
				changes = append(changes, Change{s.full(x.Name), x.text(), y.text(), x.Live})
			}
		}
	}
	for _, s := range after {
		if _, ok := section(before, s.Name); !ok {
			changes = append(changes, Change{s.Name, "gone", "there", false})
		}
	}
	return changes
}

// Merge is what runs after a reload: the live settings of next, all others as
// they were. The changes tell what differs, applied or not.
func Merge(old, next *Config) (*Config, []Change, error) {
	var b strings.Builder
	after := next.Sections()
	for i, s := range old.Sections() {
		if i > 0 {
			fmt.Fprintf(&b, "[%s]\n", s.Name)
		}
		other, ok := section(after, s.Name)
		for j, x := range s.Settings {
			if x.Live && ok {
				x = other.Settings[j]
			}
			fmt.Fprintf(&b, "%s = %s\n", x.Name, x.text())
		}
	}
	merged, err := Parse("reloaded configuration", []byte(b.String()))
	return merged, Changes(old, next), err
}
