package foreign

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/test/trial"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

func note(i int) string {
	return fmt.Sprintf("From: Ann <ann@plic.test>\r\nTo: bob@plic.test\r\nSubject: note %d\r\nDate: Mon, 2 Mar 2026 10:15:3%[1]d +0100\r\n"+
		"Message-ID: <n%[1]d@plic.test>\r\n\r\nline %[1]d\r\n", i)
}

func put(t *testing.T, c *imapclient.Client, box, text string, o *imap.AppendOptions) *imap.AppendData {
	t.Helper()
	cmd := c.Append(box, int64(len(text)), o)
	_, err := cmd.Write([]byte(text))
	ok(t, err)
	ok(t, cmd.Close())
	return must[*imap.AppendData](t)(cmd.Wait())
}

// refused checks that the server says NO with a code.
func refused(t *testing.T, err error, code imap.ResponseCode) {
	t.Helper()
	var no *imap.Error
	if !errors.As(err, &no) || no.Type != imap.StatusResponseTypeNo || no.Code != code {
		t.Errorf("got %v, not NO [%s]", err, code)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann, bob)
	for _, who := range []trial.Account{ann, bob} { // bob's password is not ASCII
		c := dial(t, s, listen())
		for _, want := range []imap.Cap{imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapSASLIR, imap.AuthCap(sasl.Plain)} {
			if !c.Caps().Has(want) {
				t.Errorf("%s is not offered before login", want)
			}
		}
		refused(t, c.Authenticate(sasl.NewPlainClient("", "nobody@plic.test", "wrong")), imap.ResponseCodeAuthenticationFailed)
		ok(t, c.Authenticate(sasl.NewPlainClient("", who.Name, who.Password)))
		for _, want := range []imap.Cap{imap.CapIdle, imap.CapMove, imap.CapUIDPlus, imap.CapCondStore, imap.CapESearch, imap.CapNamespace,
			imap.CapSpecialUse, imap.CapListStatus, imap.CapListExtended, imap.CapStatusSize, imap.CapUnselect, imap.CapEnable, imap.CapID} {
			if !c.Caps().Has(want) {
				t.Errorf("%s is not offered after login", want)
			}
		}
		ok(t, c.Logout().Wait())
	}
	// STARTTLS, then LOGIN.
	c, err := imapclient.DialStartTLS(s.At(trial.IMAP), listen().options(t, s))
	ok(t, err)
	defer c.Close()
	if c.Caps().Has(imap.CapStartTLS) {
		t.Error("STARTTLS is offered over TLS")
	}
	ok(t, c.Login(ann.Name, ann.Password).Wait())
	// LOGIN in the mechanism of that name.
	c = dial(t, s, listen())
	ok(t, c.Authenticate(sasl.NewLoginClient(ann.Name, ann.Password)))
}

// go-imap sends names in UTF-8 to who offers IMAP4rev2, enabled or not.
func TestMailboxes(t *testing.T) {
	t.Parallel()
	for _, enable := range []bool{true, false} {
		t.Run(fmt.Sprintf("enable=%v", enable), func(t *testing.T) {
			t.Parallel()
			c := login(t, trial.Start(t, program, ann), ann, listen())
			if enable {
				must[*imapclient.EnableData](t)(c.Enable(imap.CapIMAP4rev2).Wait())
			}
			testMailboxes(t, c)
		})
	}
}

func testMailboxes(t *testing.T, c *imapclient.Client) {
	id := must[*imap.IDData](t)(c.ID(&imap.IDData{Name: "go-imap"}).Wait())
	equal(t, "ID", id.Name, "plic")
	spaces := must[*imap.NamespaceData](t)(c.Namespace().Wait())
	if len(spaces.Personal) != 1 || spaces.Personal[0].Prefix != "" || spaces.Personal[0].Delim != '/' {
		t.Errorf("namespaces %+v", spaces)
	}
	ok(t, c.Create("Projekte/Größe", nil).Wait())
	refused(t, c.Create("Projekte/Größe", nil).Wait(), imap.ResponseCodeAlreadyExists)
	refused(t, c.Delete("no such").Wait(), imap.ResponseCodeNonExistent)
	refused(t, c.Create("Marked", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrFlagged}}).Wait(), "USEATTR")
	ok(t, c.Delete("Archive").Wait())
	ok(t, c.Create("Old mail", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrArchive}}).Wait())
	ok(t, c.Subscribe("Projekte/Größe").Wait())
	ok(t, c.Rename("Projekte/Größe", "Projekte/Übermaß", nil).Wait())
	put(t, c, "Projekte/Übermaß", note(1), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	put(t, c, "Projekte/Übermaß", note(2), nil)

	lists := must[[]*imap.ListData](t)(c.List("", "*", &imap.ListOptions{
		ReturnSpecialUse: true, ReturnChildren: true, ReturnSubscribed: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true, UIDNext: true, Size: true, HighestModSeq: true},
	}).Collect())
	found := map[string]*imap.ListData{}
	for _, l := range lists {
		found[l.Mailbox] = l
	}
	for name, attr := range map[string]imap.MailboxAttr{
		"INBOX": imap.MailboxAttrHasNoChildren, "Sent": imap.MailboxAttrSent, "Drafts": imap.MailboxAttrDrafts, "Junk": imap.MailboxAttrJunk,
		"Trash": imap.MailboxAttrTrash, "Old mail": imap.MailboxAttrArchive, "Projekte": imap.MailboxAttrHasChildren,
		"Projekte/Übermaß": imap.MailboxAttrHasNoChildren,
	} {
		if l := found[name]; l == nil || !slices.Contains(l.Attrs, attr) {
			t.Errorf("LIST says %+v of %s, which should be %s", l, name, attr)
		}
	}
	if l := found["Projekte/Übermaß"]; l == nil || l.Status == nil || *l.Status.NumMessages != 2 || *l.Status.NumUnseen != 1 ||
		l.Status.UIDNext != 3 || *l.Status.Size != int64(len(note(1)+note(2))) || l.Status.HighestModSeq == 0 {
		t.Errorf("LIST-STATUS says %+v", l)
	}
	special := must[[]*imap.ListData](t)(c.List("", "*", &imap.ListOptions{SelectSpecialUse: true}).Collect())
	equal(t, "mailboxes of special use", len(special), 5)
	status := must[*imap.StatusData](t)(c.Status("Projekte/Übermaß", &imap.StatusOptions{NumMessages: true, NumDeleted: true, UIDValidity: true}).Wait())
	if *status.NumMessages != 2 || *status.NumDeleted != 0 || status.UIDValidity == 0 {
		t.Errorf("STATUS says %+v", status)
	}
	ok(t, c.Delete("Projekte/Übermaß").Wait())
}

func TestMessages(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann)
	e := listen()
	c := login(t, s, ann, e)
	ok(t, c.Create("box", nil).Wait())
	ok(t, c.Create("other", nil).Wait())
	when := time.Date(2026, 3, 2, 10, 15, 30, 0, time.FixedZone("", 3600))
	for i := range 6 {
		data := put(t, c, "box", note(i), &imap.AppendOptions{Time: when.AddDate(0, 0, i), Flags: []imap.Flag{"$Label", imap.FlagDraft}[:i%3]})
		equal(t, "UID", data.UID, imap.UID(i+1))
	}
	opened := must[*imap.SelectData](t)(c.Select("box", &imap.SelectOptions{CondStore: true}).Wait())
	if opened.NumMessages != 6 || opened.UIDNext != 7 || opened.UIDValidity == 0 || opened.HighestModSeq == 0 ||
		!slices.Contains(opened.PermanentFlags, imap.FlagWildcard) || !slices.Contains(opened.Flags, "$Label") {
		t.Errorf("SELECT says %+v", opened)
	}

	partial := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierText, Partial: &imap.SectionPartial{Offset: 5, Size: 1}}
	fields := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}}
	others := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFieldsNot: []string{"Subject", "From", "To", "Message-ID"}}
	got := must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(imap.UIDSetNum(3), &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, RFC822Size: true, Envelope: true, ModSeq: true, BodySection: []*imap.FetchItemBodySection{partial, fields, others},
	}).Collect())[0]
	equal(t, "sequence number", got.SeqNum, 3)
	equal(t, "date", got.InternalDate.UTC(), when.AddDate(0, 0, 2).UTC())
	equal(t, "size", got.RFC822Size, int64(len(note(2))))
	equal(t, "partial", string(got.FindBodySection(partial)), "2")
	equal(t, "fields", string(got.FindBodySection(fields)), "Subject: note 2\r\n\r\n")
	equal(t, "other fields", string(got.FindBodySection(others)), "Date: Mon, 2 Mar 2026 10:15:32 +0100\r\n\r\n")
	equal(t, "subject", got.Envelope.Subject, "note 2")
	equal(t, "Message-ID", got.Envelope.MessageID, "n2@plic.test")
	equal(t, "sent", got.Envelope.Date.UTC(), time.Date(2026, 3, 2, 9, 15, 32, 0, time.UTC))
	if got.ModSeq == 0 || !slices.Contains(got.Flags, imap.FlagSeen) || !slices.Contains(got.Flags, imap.FlagDraft) {
		t.Errorf("flags %v, MODSEQ %d", got.Flags, got.ModSeq)
	}
	binary := &imap.FetchItemBinarySection{Part: []int{1}, Peek: true}
	got = must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		BinarySection: []*imap.FetchItemBinarySection{binary}, BinarySectionSize: []*imap.FetchItemBinarySectionSize{{Part: []int{1}}}}).Collect())[0]
	equal(t, "BINARY", string(got.FindBinarySection(binary)), "line 0\r\n")
	equal(t, "BINARY.SIZE", got.BinarySectionSize[0].Size, 8)

	t.Run("search", func(t *testing.T) { search(t, c) })
	t.Run("store", func(t *testing.T) { store(t, c) })

	copied := must[*imap.CopyData](t)(c.Copy(imap.UIDSetNum(1, 2), "other").Wait())
	equal(t, "COPYUID", copied.SourceUIDs.String()+" to "+copied.DestUIDs.String(), "1:2 to 1:2")
	moved := must[*imapclient.MoveData](t)(c.Move(imap.SeqSetNum(1), "other").Wait())
	equal(t, "MOVE", fmt.Sprint(moved.SourceUIDs, " to ", moved.DestUIDs), "1 to 3")
	equal(t, "moved", wait(t, e.expunge), 1)
	_, err := c.Copy(imap.UIDSetNum(2), "no such").Wait()
	refused(t, err, imap.ResponseCodeTryCreate)
	must[[]*imapclient.FetchMessageBuffer](t)(c.Store(imap.UIDSetNum(2, 3, 4), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect())
	gone := must[[]uint32](t)(c.UIDExpunge(imap.UIDSetNum(3)).Collect())
	equal(t, "UID EXPUNGE", fmt.Sprint(gone), "[2]")
	gone = must[[]uint32](t)(c.Expunge().Collect())
	if fmt.Sprint(gone) != "[1 1]" && fmt.Sprint(gone) != "[2 1]" {
		t.Errorf("EXPUNGE says %v", gone)
	}
	ok(t, c.Unselect().Wait())
	status := must[*imap.StatusData](t)(c.Status("box", &imap.StatusOptions{NumMessages: true, UIDNext: true}).Wait())
	equal(t, "left", fmt.Sprint(*status.NumMessages, " ", status.UIDNext), "2 7")
	_, err = c.Select("no such", nil).Wait()
	refused(t, err, imap.ResponseCodeNonExistent)
}

func search(t *testing.T, c *imapclient.Client) {
	for _, x := range []struct {
		want string
		by   imap.SearchCriteria
	}{
		{"1:6", imap.SearchCriteria{}},
		{"4", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "NOTE 3"}}}},
		{"4", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: "<n3@plic.test>"}}}},
		{"5", imap.SearchCriteria{Body: []string{"line 4"}}},
		{"2,5:6", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Text: []string{"note 1"}}, {UID: []imap.UIDSet{{{Start: 5, Stop: 9}}}}}}}},
		{"2:3,5:6", imap.SearchCriteria{Flag: []imap.Flag{"$Label"}}},
		{"2,5", imap.SearchCriteria{Flag: []imap.Flag{"$Label"}, NotFlag: []imap.Flag{imap.FlagDraft}}},
		{"1:2", imap.SearchCriteria{Before: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)}},
		{"6", imap.SearchCriteria{Since: time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC)}},
		{"1:6", imap.SearchCriteria{SentSince: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Smaller: 1000, Larger: 10}},
		{"", imap.SearchCriteria{Not: []imap.SearchCriteria{{Text: []string{"ann"}}}}},
		{"1:6", imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: 1}}},
	} {
		got, err := c.UIDSearch(&x.by, &imap.SearchOptions{ReturnAll: true, ReturnCount: true, ReturnMin: true, ReturnMax: true}).Wait()
		if err != nil {
			t.Errorf("%+v: %v", x.by, err)
			continue
		}
		all := ""
		if got.All != nil {
			all = got.All.String()
		}
		uids := got.AllUIDs()
		if all != x.want || int(got.Count) != len(uids) || len(uids) > 0 && (got.Min != uint32(uids[0]) || got.Max != uint32(uids[len(uids)-1])) {
			t.Errorf("%+v: found %s (%d, %d to %d), not %s", x.by, all, got.Count, got.Min, got.Max, x.want)
		}
	}
}

func store(t *testing.T, c *imapclient.Client) {
	change := func(op imap.StoreFlagsOp, o *imap.StoreOptions, flags ...imap.Flag) ([]*imapclient.FetchMessageBuffer, error) {
		return c.Store(imap.SeqSetNum(6), &imap.StoreFlags{Op: op, Flags: flags}, o).Collect()
	}
	has := func(got []*imapclient.FetchMessageBuffer, err error, want string) uint64 {
		t.Helper()
		if err != nil || len(got) != 1 {
			t.Fatalf("%d answers, %v", len(got), err)
		}
		var names []string
		for _, f := range got[0].Flags {
			if f != `\Recent` {
				names = append(names, string(f))
			}
		}
		slices.Sort(names)
		equal(t, "flags", strings.Join(names, " "), want)
		return got[0].ModSeq
	}
	got, err := change(imap.StoreFlagsSet, nil, imap.FlagSeen, "Custom")
	first := has(got, err, `Custom \Seen`)
	got, err = change(imap.StoreFlagsAdd, &imap.StoreOptions{UnchangedSince: first}, imap.FlagFlagged)
	if has(got, err, `Custom \Flagged \Seen`) <= first {
		t.Error("MODSEQ does not rise")
	}
	got, err = change(imap.StoreFlagsDel, &imap.StoreOptions{UnchangedSince: first}, "Custom") // it has changed since
	if err != nil || len(got) > 0 && slices.Contains(got[0].Flags, imap.Flag("Custom")) == false {
		t.Errorf("UNCHANGEDSINCE is not heeded: %v, %v", got, err)
	}
	got, err = change(imap.StoreFlagsDel, nil, "Custom")
	has(got, err, `\Flagged \Seen`)
	changed := must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{UID: true, ChangedSince: first}).Collect())
	if len(changed) != 1 || changed[0].UID != 6 {
		t.Errorf("CHANGEDSINCE gives %d messages", len(changed))
	}
}

// What happens in another session is told to one that idles, and to one that
// says NOOP.
func TestOtherSessions(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann)
	events := listen()
	idler, other := login(t, s, ann, events), login(t, s, ann, listen())
	must[*imap.SelectData](t)(idler.Select("INBOX", nil).Wait())
	must[*imap.SelectData](t)(other.Select("INBOX", nil).Wait())
	idle, err := idler.Idle()
	ok(t, err)
	send(t, s, "stranger@example.org", ann.Name)
	equal(t, "EXISTS after a delivery", wait(t, events.exists), 2)
	put(t, other, "INBOX", note(1), nil)
	equal(t, "EXISTS after APPEND", wait(t, events.exists), 3)
	must[[]*imapclient.FetchMessageBuffer](t)(other.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect())
	if flags := wait(t, events.flags); !slices.Contains(flags, imap.FlagDeleted) {
		t.Errorf("flags %v", flags)
	}
	must[[]uint32](t)(other.Expunge().Collect())
	equal(t, "EXPUNGE", wait(t, events.expunge), 1)
	ok(t, idle.Close())
	ok(t, idle.Wait())
	equal(t, "messages", idler.Mailbox().NumMessages, 2)

	send(t, s, "stranger@example.org", ann.Name)
	ok(t, idler.Noop().Wait())
	equal(t, "EXISTS after NOOP", wait(t, events.exists), 3)
}
