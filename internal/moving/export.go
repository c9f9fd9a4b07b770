package moving

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"plic/internal/imap"
	"plic/internal/maildir"
	"plic/internal/mbox"
	"plic/internal/vfs"
)

// Writer puts the letters of an account into files, folder by folder.
type Writer interface {
	Begin(f *Folder) error
	Write(l *Letter) error
	// End is called after all letters of a folder.
	End() error
	// Close is called after all folders, with what was subscribed.
	Close(folders []Folder) error
}

// Export writes an account's mail out.
func Export(ctx context.Context, site Site, account string, to Writer, only func(name string) bool, bad func(*Bad), progress func(Progress)) (Result, error) {
	var r Result
	var digest Digest
	folders, err := site.Folders(ctx, account)
	if err != nil {
		return r, err
	}
	var p Progress
	for i := range folders {
		if only == nil || only(folders[i].Name) {
			p.Total += folders[i].Messages
		}
	}
	for i := range folders {
		f := &folders[i]
		if f.NoSelect || only != nil && !only(f.Name) {
			continue
		}
		if err := to.Begin(f); err != nil {
			return r, fmt.Errorf("export %s: %w", f.Name, err)
		}
		for l, err := range site.Get(ctx, account, f.Name) {
			var b *Bad
			if errors.As(err, &b) {
				r.Bad++
				bad(b)
				continue
			}
			if err == nil {
				err = to.Write(&l)
			}
			if err != nil {
				return r, fmt.Errorf("export %s: %w", f.Name, err)
			}
			sum := sha256.Sum256(l.Text)
			digest.Add(sum[:])
			r.Messages++
			r.Bytes += l.Size
			p.Messages++
			p.Bytes += l.Size
			progress(p)
		}
		if err := to.End(); err != nil {
			return r, fmt.Errorf("export %s: %w", f.Name, err)
		}
		r.Folders++
	}
	r.Digest = digest.String()
	return r, to.Close(folders)
}

// files is what all writers need.
type files struct {
	fs  vfs.FS
	dir string
}

func (w *files) make(dir string) error { return vfs.MakeDir(w.fs, dir) }

func (w *files) put(path string, text []byte) error {
	f, err := vfs.CreatePrivate(w.fs, path)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Clone(text)) // Write may change what it is given
	return errors.Join(err, f.Sync(), f.Close())
}

// newDir refuses a directory that has something in it.
func (w *files) newDir() error {
	names, err := w.fs.List(w.dir)
	if err == nil && len(names) > 0 {
		return fmt.Errorf("%s is not empty: export into a new directory", w.dir)
	}
	return w.make(w.dir)
}

// pathOf is a folder's name as a path that leads nowhere else.
func pathOf(name string) string {
	levels := strings.Split(name, "/")
	for i, l := range levels {
		l = strings.NewReplacer("\x00", "_", "\\", "_").Replace(l)
		if l == "" || l[0] == '.' {
			l = "_" + l
		}
		levels[i] = l
	}
	return strings.Join(levels, "/")
}

// eml writes each message to a file.
type eml struct {
	files
	at string
}

// EML writes files that end in ".eml", in a directory for each folder.
func EML(on vfs.FS, dir string) (Writer, error) {
	w := &eml{files: files{on, dir}}
	return w, w.newDir()
}

func (w *eml) Begin(f *Folder) error {
	w.at = w.fs.PathJoin(w.dir, pathOf(f.Name))
	return w.make(w.at)
}

func (w *eml) Write(l *Letter) error {
	return w.put(w.fs.PathJoin(w.at, fmt.Sprintf("%010d.eml", l.UID)), l.Text)
}

func (w *eml) End() error           { return vfs.SyncDir(w.fs, w.at) }
func (w *eml) Close([]Folder) error { return nil }

// mboxOut writes an mbox for each folder.
type mboxOut struct {
	files
	f     *Folder
	at    string // the directory of its file
	file  vfs.File
	first bool
	used  map[string]bool
}

// MboxFiles writes mbox files, with UIDs, flags and keywords as other programs
// keep them.
func MboxFiles(on vfs.FS, dir string) (Writer, error) {
	w := &mboxOut{files: files{on, dir}, used: map[string]bool{}}
	return w, w.newDir()
}

// Begin makes the file. What is below a folder is in a directory "NAME.sbd".
func (w *mboxOut) Begin(f *Folder) (err error) {
	path := strings.ReplaceAll(pathOf(f.Name), "/", ".sbd/")
	path = w.fs.PathJoin(w.dir, path)
	w.f, w.first, w.at = f, true, w.fs.PathDir(path)
	if err := w.make(w.at); err != nil {
		return err
	}
	w.file, err = vfs.CreatePrivate(w.fs, path)
	return err
}

func (w *mboxOut) Write(l *Letter) error {
	text := bytes.NewReader(l.Text)
	o := mbox.Outgoing{Sender: mbox.SenderOf(text, l.Size), Date: l.Internal.UTC(), Status: statusOf(l.Flags), Text: text, Size: l.Size}
	o.UID, o.Old = l.UID, true
	if w.first && w.f.UIDValidity != 0 && w.f.UIDNext > 0 {
		o.Base = &mbox.Base{UIDValidity: w.f.UIDValidity, LastUID: max(w.f.UIDNext-1, l.UID)}
	}
	w.first = false
	return mbox.Write(w.file, &o)
}

func (w *mboxOut) End() error {
	return errors.Join(w.file.Sync(), w.file.Close(), vfs.SyncDir(w.fs, w.at))
}

func (w *mboxOut) Close([]Folder) error { return nil }

// maildirOut writes a Maildir++.
type maildirOut struct {
	files
	host  string
	at    string
	f     *Folder
	list  bytes.Buffer
	words []string
	next  uint32
}

// MaildirFiles writes a Maildir++ with the lists of UIDs, keywords and
// subscriptions that Dovecot keeps there, so that it can go on with it.
func MaildirFiles(dir, host string) (Writer, error) {
	w := &maildirOut{files: files{vfs.Disk(), dir}, host: strings.NewReplacer("/", "_", ":", "_", ",", "_").Replace(host)}
	return w, w.newDir()
}

// folderDir is the directory of a folder: "." between levels, modified UTF-7.
func folderDir(name string) string {
	if name == "INBOX" {
		return "."
	}
	levels := strings.Split(name, "/")
	for i, l := range levels {
		levels[i] = strings.ReplaceAll(imap.EncodeUTF7(l), ".", "_")
	}
	return "." + strings.Join(levels, ".")
}

func (w *maildirOut) Begin(f *Folder) error {
	w.f, w.words, w.next = f, nil, 1
	w.list.Reset()
	w.at = w.fs.PathJoin(w.dir, folderDir(f.Name))
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := w.make(w.fs.PathJoin(w.at, sub)); err != nil {
			return err
		}
	}
	if f.Name == "INBOX" {
		return nil
	}
	return w.put(w.fs.PathJoin(w.at, "maildirfolder"), nil)
}

func (w *maildirOut) Write(l *Letter) error {
	stored := bytes.ReplaceAll(l.Text, []byte("\r\n"), []byte("\n"))
	name := fmt.Sprintf("%d.M%dP%dU%d.%s,S=%d,W=%d", l.Internal.Unix(), l.Internal.Nanosecond()/1000, 1, l.UID, w.host, len(stored), l.Size)
	path := w.fs.PathJoin(w.at, "cur", name+":2,"+w.letters(l.Flags))
	f, err := vfs.CreatePrivate(w.fs, path)
	if err != nil {
		return err
	}
	_, err = f.Write(stored)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(path, l.Internal, l.Internal); err != nil {
		return err
	}
	w.next = max(w.next, l.UID+1)
	w.list.WriteString(maildir.Entry{UID: l.UID, Base: name}.String())
	return nil
}

// letters are the flags in a file's name, in the order of the alphabet.
func (w *maildirOut) letters(flags []string) string {
	set := map[byte]bool{}
	for _, f := range flags {
		if n := slices.IndexFunc(maildir.Flags[:], func(has string) bool { return strings.EqualFold(has, f) }); n >= 0 {
			set[maildir.Letters[n]] = true
		} else if n := w.word(f); n >= 0 {
			set[byte('a'+n)] = true
		}
	}
	var b strings.Builder
	for c := byte('A'); c <= 'z'; c++ {
		if set[c] {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// word numbers a keyword; a Maildir has room for 26.
func (w *maildirOut) word(f string) int {
	for i, have := range w.words {
		if strings.EqualFold(have, f) {
			return i
		}
	}
	if f[0] == '\\' || len(w.words) == maildir.MaxKeywords {
		return -1
	}
	w.words = append(w.words, f)
	return len(w.words) - 1
}

func (w *maildirOut) End() error {
	guid := sha256.Sum256([]byte(w.dir + w.f.Name))
	head := fmt.Sprintf("3 V%d N%d G%x\n", w.f.UIDValidity, max(w.f.UIDNext, w.next), guid[:16])
	if err := w.put(w.fs.PathJoin(w.at, "dovecot-uidlist"), append([]byte(head), w.list.Bytes()...)); err != nil {
		return err
	}
	var words bytes.Buffer
	for i, k := range w.words {
		fmt.Fprintf(&words, "%d %s\n", i, k)
	}
	if words.Len() > 0 {
		if err := w.put(w.fs.PathJoin(w.at, "dovecot-keywords"), words.Bytes()); err != nil {
			return err
		}
	}
	return errors.Join(vfs.SyncDir(w.fs, w.fs.PathJoin(w.at, "cur")), vfs.SyncDir(w.fs, w.at))
}

// Close writes the subscriptions in Dovecot's second form.
func (w *maildirOut) Close(folders []Folder) error {
	b := bytes.NewBufferString("V\t2\n\n")
	for i := range folders {
		if !folders[i].Subscribed {
			continue
		}
		levels := strings.Split(folders[i].Name, "/")
		for k := range levels {
			levels[k] = imap.EncodeUTF7(levels[k])
		}
		fmt.Fprintln(b, strings.Join(levels, "\t"))
	}
	if err := w.put(w.fs.PathJoin(w.dir, "subscriptions"), b.Bytes()); err != nil {
		return err
	}
	return vfs.SyncDir(w.fs, w.dir)
}
