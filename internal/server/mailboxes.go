package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/store/maildir"
	"plic/internal/store/mbox"
	"plic/internal/table"
	"plic/internal/vfs"
)

// openPlaces reads where accounts have their mail, and says what is wrong there.
func (s *site) openPlaces() error {
	m := s.config.Mailboxes
	op := opener{o: table.Options{FS: vfs.Disk(), Log: s.log}}
	s.placesOf = op.open("mailboxes.of", m.Of)
	check := func(place string) error {
		_, err := (files.Location{Text: place, Home: "/"}).Resolve("name@domain")
		if place == files.Native {
			err = nil
		}
		return err
	}
	op.values("mailboxes.of", m.Of, check)
	if err := check(m.Place); err != nil {
		op.errs = append(op.errs, fmt.Errorf("mailboxes.place: %w", err))
	}
	for _, x := range s.config.Sources {
		if x.Mailboxes == "" {
			continue
		}
		if err := check(x.Mailboxes); err != nil {
			op.errs = append(op.errs, fmt.Errorf("source.%s.mailboxes: %w", x.Name, err))
		}
	}
	return errors.Join(op.errs...)
}

// files is the engine around the one of records, for accounts whose mail is in
// files.
func (s *site) files(now func() time.Time) engine.Engine {
	s.watcher = vfs.NewWatcher()
	host, err := os.Hostname()
	if err != nil {
		host = s.config.Hostname.String()
	}
	s.kept = files.New(files.Options{
		Engine: s.engine, Log: s.log,
		Formats: map[string]files.Format{
			"maildir": maildir.New(maildir.Options{Host: host, Now: now, Watcher: s.watcher, Log: s.log}),
			"mbox":    mbox.New(mbox.Options{Now: now, Watcher: s.watcher, Log: s.log}),
		},
		Locate: func(ctx context.Context, account string) (files.Location, error) {
			l, _, err := s.locate(ctx, account)
			return l, err
		},
	})
	return s.kept
}

// locate says where an account's mail is, and who says so.
func (s *site) locate(ctx context.Context, name string) (l files.Location, because string, err error) {
	moved, err := s.kept.ConvertedName(ctx, name)
	if err != nil {
		return l, "", err
	}
	l, because, err = s.locateAt(ctx, name, moved)
	if moved != "" {
		because = "plic account convert"
	}
	return l, because, err
}

// locateAt is locate for a place that is known, if it is.
func (s *site) locateAt(ctx context.Context, name, place string) (l files.Location, because string, err error) {
	a, err := s.people.Directory.Account(ctx, name)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return l, "", err
	}
	m := s.config.Mailboxes
	l.Text, because = cmp.Or(place, a.Mailboxes), "the directory"
	if l.Text == "" {
		if l.Text, because, err = s.placeOf(ctx, name); err != nil {
			return l, "", err
		}
	}
	l.Home, l.UID, l.GID = a.Home, int(a.UID), int(a.GID)
	local, _, _ := strings.Cut(name, "@")
	if m.SystemUsers && l.Text != files.Native {
		u, err := user.Lookup(local)
		if err != nil {
			return l, "", fmt.Errorf("mailboxes.system_users: %w", err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return l, "", err
		}
		if uid == 0 {
			return l, "", errors.New("mailboxes.system_users: root has no mail here, make it an alias")
		}
		l.Home, l.UID, l.GID = u.HomeDir, uid, gid
	}
	if l.Home == "" && m.Home != "" {
		at, err := (files.Location{Text: "home:" + m.Home}).Resolve(name)
		if err != nil {
			return l, "", fmt.Errorf("mailboxes.home: %w", err)
		}
		l.Home = at.Path
	}
	return l, because, nil
}

// placeOf is what the settings say.
func (s *site) placeOf(ctx context.Context, name string) (place, because string, err error) {
	_, domain, _ := strings.Cut(name, "@")
	for _, key := range []string{name, "@" + domain} {
		place, found, err := s.placesOf.Lookup(ctx, key)
		if err != nil {
			return "", "", fmt.Errorf("mailboxes.of: %w", err)
		}
		if found {
			return place, "mailboxes.of, " + key, nil
		}
	}
	return s.config.Mailboxes.Place, "mailboxes.place", nil
}

// mailPlaces is control.Mailboxes.
type mailPlaces struct{ s *site }

// Mailboxes tells where an account's mail is.
func (p mailPlaces) Mailboxes(ctx context.Context, account string) (control.Placing, error) {
	a, err := p.s.people.Account(ctx, account)
	if err != nil {
		return control.Placing{}, told(err)
	}
	l, because, err := p.s.locate(ctx, a.Name)
	if err != nil {
		return control.Placing{}, err
	}
	out := control.Placing{Account: a.Name, Place: l.Text, Because: because}
	if l.Text != files.Native {
		at, err := l.Resolve(a.Name)
		if err != nil {
			return out, err
		}
		out.Path = at.Path
	}
	return out, nil
}

// SetMailboxes changes it. An account with mail in another format is refused:
// its mail would be out of sight.
func (p mailPlaces) SetMailboxes(ctx context.Context, account, place string) error {
	a, err := p.s.people.Account(ctx, account)
	if err != nil {
		return told(err)
	}
	before, _, err := p.s.locate(ctx, a.Name)
	if err != nil {
		return err
	}
	after := place
	if place == "" {
		if after, _, err = p.s.placeOf(ctx, a.Name); err != nil {
			return err
		}
	} else if place != files.Native {
		before.Text = place
		if _, err := before.Resolve(a.Name); err != nil {
			return err
		}
	}
	used, err := p.s.store.Existing(ctx, a.Name)
	switch {
	case errors.Is(err, store.ErrNoAccount):
	case err != nil && !errors.Is(err, files.ErrMoved) && !errors.Is(err, files.ErrNoPlace):
		return err
	case err == nil && after != before.Text && used != nil:
		return fmt.Errorf("%s has had mail already: its mailboxes stay where they are: plic account convert moves them", a.Name)
	}
	return told(p.s.directory.SetMailboxes(ctx, a.Name, place))
}

// Convert moves an account's mail to another place.
func (p mailPlaces) Convert(ctx context.Context, account, place string) (control.Converted, error) {
	a, err := p.s.people.Account(ctx, account)
	if err != nil {
		return control.Converted{}, told(err)
	}
	out := control.Converted{Account: a.Name, Place: place}
	to, _, err := p.s.locateAt(ctx, a.Name, place)
	if err != nil {
		return out, err
	}
	_, err = p.s.store.Existing(ctx, a.Name)
	if errors.Is(err, files.ErrMoved) { // the settings are ahead
		if err = p.s.kept.Stay(ctx, a.Name); err == nil {
			_, err = p.s.store.Existing(ctx, a.Name)
		}
	}
	if err != nil {
		return out, told(err)
	}
	c, err := p.s.kept.Convert(ctx, a.Name, to)
	if err != nil {
		return out, err
	}
	if c == nil {
		out.There = true
		return out, nil
	}
	if err := p.s.store.Convert(ctx, a.Name, c.Copy, c.Switch); err != nil {
		return out, fmt.Errorf("%w (the account is where it was, %s)", err, c.Old)
	}
	out.Old, out.Messages, out.Octets = c.Old, c.Messages, c.Octets
	return out, nil
}

// RemoveOld removes the messages that the last conversion has left.
func (p mailPlaces) RemoveOld(ctx context.Context, account string) (control.Removed, error) {
	a, err := p.s.people.Account(ctx, account)
	if err != nil {
		return control.Removed{}, told(err)
	}
	out := control.Removed{Account: a.Name}
	now, _, err := p.s.locate(ctx, a.Name)
	if err != nil {
		return out, err
	}
	out.Old, out.Messages, err = p.s.kept.RemoveLeft(ctx, a.Name, now)
	if out.Messages > 0 && err != nil {
		err = fmt.Errorf("%w (after %d were removed)", err, out.Messages)
	}
	return out, err
}
