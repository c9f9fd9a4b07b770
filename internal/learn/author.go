package learn

import (
	"io"
	"net/netip"

	"plic/internal/check/greylist"
	"plic/internal/message"
)

// authorIn is the author of a message that is kept.
func (l *Learner) authorIn(s Sample) string {
	m, err := message.Parse(io.NewSectionReader(s.Body, 0, min(s.Body.Size(), 64<<10)), l.o.Parse)
	if err != nil {
		return ""
	}
	return authorOf(m.Root.Get("From"))
}

func networkOf(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return greylist.Network(addr)
}
