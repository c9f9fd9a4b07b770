package imapd

import (
	"context"
	"strconv"
	"strings"

	"plic/internal/auth"
	"plic/internal/imap"
)

// capability is CAPABILITY, RFC 9051 section 6.1.1.
func (c *conn) capability(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	c.out.text("* CAPABILITY ", c.capabilities())
	return reply{}, nil
}

// capabilities names what works now, and nothing else.
func (c *conn) capabilities() string {
	const first = "IMAP4rev2 IMAP4rev1 ID LANGUAGE"
	if c.account != nil {
		return first + " LITERAL+ ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE CREATE-SPECIAL-USE" +
			" LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE STATUS=SIZE" +
			" QRESYNC UIDONLY UIDBATCHES NOTIFY PREVIEW" + c.limits() +
			" ACL RIGHTS=texk LIST-MYRIGHTS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX METADATA LIST-METADATA OBJECTID" + c.maySetQuota() +
			" SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS I18NLEVEL=1" +
			" CONTEXT=SEARCH CONTEXT=SORT PARTIAL MULTISEARCH SEARCH=FUZZY WITHIN SAVEDATE FILTERS INPROGRESS" +
			" MULTIAPPEND CATENATE URLAUTH URL-PARTIAL REPLACE UTF8=ACCEPT UNAUTHENTICATE" + c.mayCompress() + c.maySieve() +
			" APPENDLIMIT=" + strconv.FormatInt(c.server.o.MaxMessage, 10)
	}
	b := strings.Builder{}
	b.WriteString(first + " LITERAL- SASL-IR ENABLE") // what does not wait is bounded by imap.PreAuth
	if c.mayStartTLS() {
		b.WriteString(" STARTTLS")
	}
	if !c.isPrivate() {
		b.WriteString(" LOGINDISABLED")
	}
	for _, m := range c.server.o.Auth.Mechanisms(c.peer()) {
		b.WriteString(" AUTH=" + m)
	}
	return b.String()
}

// maySetQuota names QUOTASET to who may use it.
func (c *conn) maySetQuota() string {
	if c.isAdmin() {
		return " QUOTASET"
	}
	return ""
}

// mayCompress names COMPRESS while it can be given.
func (c *conn) mayCompress() string {
	if c.packed != nil {
		return ""
	}
	return " COMPRESS=DEFLATE"
}

// peer says who is at the other end.
func (c *conn) peer() auth.Peer {
	return auth.Peer{
		Service: "imap", Remote: c.remote.Addr(), Conn: c.id,
		TLS: c.tls, Loopback: c.remote.Addr().IsLoopback(),
	}
}

// isPrivate says that a password may be sent in clear, RFC 8314 section 3.
func (c *conn) isPrivate() bool { return c.tls != nil || c.remote.Addr().IsLoopback() }
