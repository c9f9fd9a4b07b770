package moving

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// CyrusSpool is the mail of a Cyrus IMAP: the directory of one account in it, a
// partition of it, or what an imapd.conf names.
type CyrusSpool struct {
	place      string
	partitions []cyrusPartition
	config     string // its configdirectory, "" if it is not known
	domain     string // of users that have none
	dots       bool   // part levels for users too

	single *os.Root                // the directory of one account
	byUser map[string][]cyrusFound // mailboxes of version 3.6 and later
	uses   map[string]string       // special uses by the number of a mailbox
	bad    []*Bad                  // mailboxes of which nobody knows whose they are
}

type cyrusPartition struct {
	root *os.Root
	dir  string
}

// cyrusFound is a mailbox that its header names.
type cyrusFound struct {
	partition int
	dir       string
	header    cyrusHeader
}

// Cyrus opens a spool.
func Cyrus(place string) (*CyrusSpool, error) {
	c := &CyrusSpool{place: place}
	info, err := os.Stat(place)
	if err != nil {
		return nil, err
	}
	dirs := []string{place}
	if !info.IsDir() {
		if dirs, err = c.configuration(); err != nil {
			return nil, err
		}
	}
	for _, dir := range dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if _, err := root.Stat("cyrus.header"); err == nil && info.IsDir() {
			c.single = root
			return c, nil
		}
		c.partitions = append(c.partitions, cyrusPartition{root, dir})
	}
	if err := c.names(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close lets go of the directories.
func (c *CyrusSpool) Close() (err error) {
	for _, p := range c.partitions {
		err = errors.Join(err, p.root.Close())
	}
	if c.single != nil {
		err = errors.Join(err, c.single.Close())
	}
	return err
}

// configuration reads imapd.conf, and gives the partitions.
func (c *CyrusSpool) configuration() (partitions []string, err error) {
	f, err := os.Open(c.place)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		name, value, ok := strings.Cut(in.Text(), ":")
		if value = strings.TrimSpace(value); !ok || value == "" || strings.HasPrefix(name, "#") {
			continue
		}
		switch name = strings.TrimSpace(name); {
		case strings.HasPrefix(name, "partition-"):
			partitions = append(partitions, value)
		case name == "configdirectory":
			c.config = value
		case name == "defaultdomain":
			c.domain = value
		case name == "unixhierarchysep":
			c.dots = slices.Contains([]string{"no", "off", "false", "0"}, strings.ToLower(value))
		}
	}
	if in.Err() == nil && len(partitions) == 0 {
		return nil, fmt.Errorf("%s is no imapd.conf: it names no partition", c.place)
	}
	return partitions, in.Err()
}

// names reads the headers of all mailboxes that are in directories named by their
// number, uuid/a/b/ab…: only they know whose they are.
func (c *CyrusSpool) names() error {
	c.byUser = map[string][]cyrusFound{}
	for i, p := range c.partitions {
		dirs := []string{"uuid"}
		for range 3 {
			var below []string
			for _, dir := range dirs {
				names, err := namesIn(p.root, dir)
				if err != nil {
					return fmt.Errorf("%s: %w", p.dir, err)
				}
				for _, name := range names {
					below = append(below, path.Join(dir, name))
				}
			}
			dirs = below
		}
		slices.Sort(dirs)
		for _, dir := range dirs {
			h, err := readCyrusHeader(p.root, dir)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				c.bad = append(c.bad, &Bad{Name: path.Join(p.dir, dir), Err: err})
				continue
			}
			h.words = nil // they are read again with the index
			if user, ok := h.user(); ok {
				c.byUser[user] = append(c.byUser[user], cyrusFound{i, dir, h})
			}
		}
	}
	return nil
}

// Account opens the mail of a user, who is needed unless the spool is the
// directory of one account.
func (c *CyrusSpool) Account(user string) (Source, error) {
	if c.single != nil {
		return cyrusDirectory(c.single, c.place)
	}
	if user == "" {
		return nil, fmt.Errorf("%s is no mailbox of Cyrus, there is no cyrus.header in it; if it is the mail of many: whose is wanted? (--user)", c.place)
	}
	name, domain, _ := strings.Cut(user, "@")
	name = strings.ReplaceAll(name, ".", "^")
	if domain == c.domain {
		domain = ""
	}
	whose := "user." + name
	if domain != "" {
		whose = domain + "!" + whose
	}
	s := &cyrus{name: c.place + " " + user, boxes: map[string]*cyrusBox{}, skipped: c.bad, dots: c.dots}
	for i := range c.partitions {
		p := &c.partitions[i]
		for _, dir := range p.old(domain, name) {
			if err := s.below(p.root, dir, p.dir); err != nil {
				return nil, fmt.Errorf("%s: %w", p.dir, err)
			}
		}
	}
	for _, x := range c.byUser[whose] {
		p := c.partitions[x.partition]
		inner := strings.TrimPrefix(strings.TrimPrefix(x.header.name, whose), ".")
		s.add(p.root, x.dir, p.dir, s.folder(inner)).id = x.header.id
	}
	if len(s.boxes) == 0 {
		return nil, fmt.Errorf("%s: there is no mailbox %s", c.place, whose)
	}
	return s, c.annotate(s, domain, name)
}

// old finds the directory of a user as it was up to version 3.4: user/ann, below
// a letter if there are many, and below domain/ if he has one.
func (p *cyrusPartition) old(domain, name string) (found []string) {
	hashed := func(base string) []string {
		all := []string{base}
		names, _ := namesIn(p.root, base) // where there is none, nothing is found
		slices.Sort(names)
		for _, n := range names {
			if len(n) == 1 {
				all = append(all, path.Join(base, n))
			}
		}
		return all
	}
	bases := []string{"."}
	if domain != "" {
		bases = nil
		for _, base := range hashed("domain") {
			bases = append(bases, path.Join(base, domain))
		}
	}
	for _, base := range bases {
		for _, dir := range hashed(base) {
			at := path.Join(dir, "user", name)
			if _, err := p.root.Lstat(at); err == nil {
				found = append(found, at)
			}
		}
	}
	return found
}

// annotate adds what Cyrus keeps in its configdirectory: subscriptions and special
// uses.
func (c *CyrusSpool) annotate(s *cyrus, domain, name string) error {
	if c.config == "" {
		return nil
	}
	subscribed, err := c.subscriptions(s, domain, name)
	if err != nil {
		return err
	}
	if c.uses == nil {
		if c.uses, err = readCyrusUses(filepath.Join(c.config, "annotations.db")); err != nil {
			return err
		}
	}
	for _, b := range s.boxes {
		b.unlisted = subscribed != nil && !subscribed[b.folder]
		if use := c.uses[b.id]; b.id != "" && use != "" {
			b.specialUse = use
		}
	}
	// A name counts only where nothing is said.
	said := map[string]bool{}
	for _, b := range s.boxes {
		said[b.specialUse] = said[b.specialUse] || b.id != "" && c.uses[b.id] == b.specialUse
	}
	for _, b := range s.boxes {
		if said[b.specialUse] && c.uses[b.id] != b.specialUse {
			b.specialUse = ""
		}
	}
	return nil
}

// subscriptions reads the list of a user; nil if he has none.
func (c *CyrusSpool) subscriptions(s *cyrus, domain, name string) (map[string]bool, error) {
	var files []string
	for _, b := range s.boxes {
		if b.folder == "INBOX" && len(b.id) > 2 {
			files = append(files, filepath.Join(c.config, "user", "uuid", b.id[:1], b.id[1:2], b.id, "sub.db"))
		}
	}
	base := c.config
	if domain != "" {
		base = filepath.Join(c.config, "domain", "?", domain)
	}
	for _, pattern := range []string{"user/?/", "user/"} { // of version 3.4 and before
		found, err := filepath.Glob(filepath.Join(base, pattern, "*.sub"))
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			if filepath.Base(file) == name+".sub" {
				files = append(files, file)
			}
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s.subscribed(string(text), name), nil
	}
	return nil, nil
}

// subscribed reads a list of subscriptions: a line for each, up to a tab.
// Those of version 3.6 are "NINBOX" and what is below it, with the octet 1F between
// levels; older ones are names such as "user.ann.Sent".
func (s *cyrus) subscribed(text, name string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		box, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if rest, ok := strings.CutPrefix(box, "NINBOX"); ok {
			rest = strings.ReplaceAll(strings.TrimPrefix(rest, "\x1f"), ".", "^")
			all[s.folder(strings.ReplaceAll(rest, "\x1f", "."))] = true
			continue
		}
		_, own, found := strings.Cut(box, "!") // behind a domain
		if !found {
			own = box
		}
		if rest, ok := strings.CutPrefix(own, "user."+name); ok && (rest == "" || rest[0] == '.') {
			all[s.folder(strings.TrimPrefix(rest, "."))] = true
		}
	}
	return all
}
