package imapd

import (
	"slices"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// changeable are the flags that the user may change in a mailbox, RFC 4314
// section 4.
func (c *conn) changeable(mb *store.Mailbox) (may engine.Flags) {
	have := mb.RightsOf(c.account.Name(), c.groups...)
	if have.Has(store.MayWrite) {
		may = ^(store.Seen | store.Deleted)
	}
	if have.Has(store.MaySee) {
		may |= store.Seen
	}
	if have.Has(store.MayDelete) {
		may |= store.Deleted
	}
	return may
}

// keywords says that keywords are among changeable flags.
func keywords(may engine.Flags) bool { return may&store.KeywordBit(0) != 0 }

// permitted leaves out the flags that may not be set in a mailbox.
func (c *conn) permitted(mb *store.Mailbox, f store.Flags) store.Flags {
	may := c.changeable(mb)
	f.System &= may
	if !keywords(may) {
		f.Keywords = nil
	}
	return f
}

// narrow leaves out the flags that a STORE may not change; if that leaves
// nothing of it, it is refused.
func narrow(op store.FlagOp, f store.Flags, may engine.Flags) (store.Flags, error) {
	left := store.Flags{System: f.System & may}
	if keywords(may) {
		left.Keywords = f.Keywords
	}
	given := f.System != 0 || len(f.Keywords) > 0
	if given && left.System == 0 && len(left.Keywords) == 0 || op == store.FlagsSet && may == 0 {
		return left, errNoRight
	}
	return left, nil
}

// permanent are the flags of PERMANENTFLAGS.
func permanent(names []string, may engine.Flags) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		for _, f := range systemFlags {
			if f.name == name {
				return may&f.bit == 0
			}
		}
		return !keywords(may)
	})
	if keywords(may) {
		names = append(names, `\*`)
	}
	return names
}
