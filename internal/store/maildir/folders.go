package maildir

import (
	"fmt"
	"slices"
	"strings"

	"plic/internal/imap"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

const inboxName = "INBOX"

// encode gives a level of a name as directories have it.
func (t *tree) encode(level string) string {
	if t.utf8 {
		return level
	}
	return imap.EncodeUTF7(level)
}

func (t *tree) decode(level string) (string, error) {
	if t.utf8 {
		return level, nil
	}
	return imap.DecodeUTF7(level)
}

// dir is the directory of a mailbox in its place.
func (t *tree) dir(name string) (place, string, error) {
	if name == inboxName {
		return t.inbox, ".", nil
	}
	var levels []string
	for level := range strings.SplitSeq(name, "/") {
		level = t.encode(level)
		if why := t.refuse(level); why != "" {
			return place{}, "", fmt.Errorf("%s in a Maildir: %w", why, engine.ErrBadName)
		}
		levels = append(levels, level)
	}
	dir := strings.Join(levels, "/")
	if t.layout == layoutPlus {
		dir = "." + strings.Join(levels, ".")
	}
	if len(dir) > 255 && t.layout == layoutPlus {
		return place{}, "", fmt.Errorf("the name is too long for a Maildir: %w", engine.ErrBadName)
	}
	return t.root, dir, nil
}

// refuse says why a level of a name cannot be.
func (t *tree) refuse(level string) string {
	switch {
	case level == "" || len(level) > 255:
		return "an empty or too long level of a name cannot be"
	case strings.ContainsAny(level, "/\x00"):
		return "a slash or a NUL cannot be"
	case t.layout == layoutPlus && strings.Contains(level, "."):
		return "a dot separates levels, and cannot be in a name"
	case t.layout == layoutFS && (level[0] == '.' || isOwn(level)):
		return fmt.Sprintf("%q cannot be a name", level)
	}
	return ""
}

// isOwn says that a name is one that Maildirs keep for themselves.
func isOwn(name string) bool {
	switch name {
	case "cur", "new", "tmp", "subscriptions", "maildirfolder":
		return true
	}
	return strings.HasPrefix(name, "dovecot")
}

// name is the mailbox of a directory below the root; false if it is none.
func (t *tree) name(dir string) (string, bool) {
	sep := "/"
	if t.layout == layoutPlus {
		if len(dir) < 2 || dir[0] != '.' || dir[1] == '.' {
			return "", false
		}
		dir, sep = dir[1:], "."
	}
	levels := strings.Split(dir, sep)
	for i, level := range levels {
		text, err := t.decode(level)
		if err != nil || text == "" || strings.Contains(text, "/") || t.encode(text) != level {
			return "", false
		}
		levels[i] = text
	}
	name := strings.Join(levels, "/")
	if imap.ValidMailboxName(name) != nil || imap.CanonicalName(name) != name || name == inboxName {
		return "", false
	}
	return name, true
}

// folders lists the mailboxes beside INBOX.
func (t *tree) folders() ([]string, error) {
	var names []string
	var err error
	if t.layout == layoutPlus {
		names, err = t.below(".", false)
	} else {
		names, err = t.below(".", true)
	}
	slices.Sort(names)
	return names, err
}

// below lists the mailboxes in a directory, and with deep in those below it.
func (t *tree) below(dir string, deep bool) (names []string, err error) {
	list, err := t.root.List(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range list {
		if deep && (entry[0] == '.' || isOwn(entry)) || !deep && entry[0] != '.' {
			continue
		}
		full := t.root.PathJoin(dir, entry)
		info, err := t.root.Stat(full)
		if err != nil || !info.IsDir() { // a symbolic link is none
			continue
		}
		name, ok := t.name(full)
		if _, err := t.root.Stat(t.root.PathJoin(full, "cur")); ok && err == nil {
			names = append(names, name)
		} else if err != nil && !vfs.NotExist(err) {
			return nil, err
		}
		if deep {
			more, err := t.below(full, true)
			if err != nil && !vfs.NotExist(err) {
				return nil, err
			}
			names = append(names, more...)
		}
	}
	return names, nil
}
