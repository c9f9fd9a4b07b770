package passwd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"plic/internal/directory"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/table"
)

// System is how the users of this system are found.
type System struct {
	Options        // Path is not used; Form.Domain is theirs
	Root    string // where etc is; "/" if empty
	Helper  *Helper
}

// The users who are people: below and beyond are daemons, and nobody.
const (
	firstPerson = 1000
	lastPerson  = 60_000
)

// system are the files together.
type system struct {
	records
	passwd *table.File[*users]
	group  *table.File[map[string][]string] // groups by member
	shadow *table.File[map[string]string]   // nil if we may not read it
	helper *Helper
}

// OpenSystem makes a directory of the users of this system: those with numbers
// from 1000 to 60000. Their passwords are checked by the helper or, without
// one, by /etc/shadow, if it can be read.
func OpenSystem(o System) (*source.Directory, error) {
	if o.Form.Domain.IsZero() {
		return nil, errors.New("the users of a system need a domain")
	}
	files := table.Options{FS: o.FS, Now: o.Now, Log: o.Log}
	s := &system{helper: o.Helper}
	s.o = o.Options
	s.records.users = func() *users { return s.passwd.Content() }
	var err1, err2, err3 error
	s.passwd, err1 = table.OpenFile(files, o.Root+"/etc/passwd", s.parsePeople)
	s.group, err2 = table.OpenFile(files, o.Root+"/etc/group", parseGroups)
	if o.Helper == nil {
		if s.shadow, err3 = table.OpenFile(files, o.Root+"/etc/shadow", parseShadow); errors.Is(err3, fs.ErrPermission) || errors.Is(err3, fs.ErrNotExist) {
			s.shadow, err3 = nil, nil
		}
	}
	return source.New(s, o.Separator), errors.Join(err1, err2, err3)
}

// parsePeople reads /etc/passwd. Lines that are none are left out, as the
// system does: others than administrators write there.
func (s *system) parsePeople(text []byte) (*users, error) {
	u := &users{map[string]directory.Account{}, map[mail.Domain]bool{}}
	err := lines(text, func(parts []string) error {
		if len(parts) < 7 {
			return nil
		}
		uid, err1 := strconv.ParseUint(parts[2], 10, 32)
		gid, err2 := strconv.ParseUint(parts[3], 10, 32)
		name, err3 := s.o.Form.Name(parts[0])
		if errors.Join(err1, err2, err3) != nil || uid < firstPerson || uid > lastPerson || strings.Contains(parts[0], "@") {
			return nil
		}
		if _, there := u.accounts[name]; !there {
			u.accounts[name] = directory.Account{Name: name, UID: uint32(uid), GID: uint32(gid), Home: parts[5], External: s.helper != nil}
		}
		return nil
	})
	return u, err
}

// parseGroups reads /etc/group: which groups each user is in.
func parseGroups(text []byte) (map[string][]string, error) {
	all := map[string][]string{}
	err := lines(text, func(parts []string) error {
		if len(parts) < 4 {
			return nil
		}
		for _, member := range strings.FieldsFunc(parts[3], func(c rune) bool { return c == ',' }) {
			all[member] = append(all[member], parts[0])
		}
		all["\x00"+parts[2]] = append(all["\x00"+parts[2]], parts[0]) // by number, for those whose first group it is
		return nil
	})
	return all, err
}

// parseShadow reads /etc/shadow: the hash of each user.
func parseShadow(text []byte) (map[string]string, error) {
	all := map[string]string{}
	err := lines(text, func(parts []string) error {
		if len(parts) > 1 {
			all[parts[0]] = parts[1]
		}
		return nil
	})
	return all, err
}

// Account finds a user by name.
func (s *system) Account(ctx context.Context, login string) (directory.Account, error) {
	a, err := s.records.Account(ctx, login)
	if err != nil {
		return a, err
	}
	name := mail.MustAddress(a.Name).Local
	groups := s.group.Content()
	a.Groups = slices.Concat(groups["\x00"+strconv.FormatUint(uint64(a.GID), 10)], groups[name])
	if s.shadow != nil {
		a.Secret = s.o.Form.Secret(s.shadow.Content()[name])
	}
	return a, nil
}

// Check has the helper check the password of a user.
func (s *system) Check(ctx context.Context, login, password string) (directory.Account, error) {
	a, err := s.Account(ctx, login)
	if err != nil {
		return a, err
	}
	if s.helper == nil {
		return a, errors.New("no helper is set to check the passwords of this system's users")
	}
	if err := s.helper.check(ctx, mail.MustAddress(a.Name).Local, password); err != nil {
		return directory.Account{}, fmt.Errorf("%s: %w", a.Name, err)
	}
	return a, nil
}
