package imapd

import (
	"context"

	"plic/internal/imap"
)

// command is what is known of a command before it is run.
type command struct {
	in       states
	expunges bool // EXPUNGE may be told before its answer, RFC 9051 section 7.5.1
	run      func(*conn, context.Context, *imap.Command) (reply, error)
}

// states are the states of RFC 9051 section 3 that a command is allowed in.
type states uint8

const (
	notAuthenticated states = 1 << iota
	authenticated
	selected

	loggedIn = authenticated | selected
	always   = notAuthenticated | loggedIn
)

func (d command) allows(c *conn) bool {
	switch {
	case c.account == nil:
		return d.in&notAuthenticated != 0
	case c.view == nil:
		return d.in&authenticated != 0
	}
	return d.in&selected != 0
}

// lookup finds a command by its name in upper case.
func lookup(name string) (d command, ok bool) {
	for _, of := range [...]func(string) command{anyCommand, messageCommand, ownerCommand} {
		if d = of(name); d.run != nil {
			break
		}
	}
	return d, d.run != nil
}

// anyCommand are the commands that need no mailbox selected.
func anyCommand(name string) command {
	switch name {
	case "CAPABILITY":
		return command{always, true, (*conn).capability}
	case "NOOP":
		return command{always, true, (*conn).noop}
	case "LOGOUT":
		return command{always, false, (*conn).logout}
	case "ID":
		return command{always, true, (*conn).identify}
	case "LANGUAGE":
		return command{always, true, (*conn).language}
	case "STARTTLS":
		return command{notAuthenticated, false, (*conn).starttls}
	case "AUTHENTICATE":
		return command{notAuthenticated, false, (*conn).authenticate}
	case "LOGIN":
		return command{notAuthenticated, false, (*conn).logIn}
	case "GENURLAUTH":
		return command{loggedIn, true, (*conn).genURLAuth}
	case "RESETKEY":
		return command{loggedIn, true, (*conn).resetKey}
	case "URLFETCH":
		return command{loggedIn, true, (*conn).urlFetch}
	case "COMPRESS":
		return command{loggedIn, true, (*conn).compress}
	case "UNAUTHENTICATE":
		return command{loggedIn, false, (*conn).unauthenticate}
	case "ENABLE":
		return command{loggedIn, true, (*conn).enable}
	case "SELECT", "EXAMINE":
		return command{loggedIn, false, (*conn).selectMailbox}
	case "CREATE":
		return command{loggedIn, true, (*conn).create}
	case "DELETE":
		return command{loggedIn, true, (*conn).delete}
	case "RENAME":
		return command{loggedIn, true, (*conn).rename}
	case "SUBSCRIBE", "UNSUBSCRIBE":
		return command{loggedIn, true, (*conn).subscribe}
	case "LIST":
		return command{loggedIn, true, (*conn).list}
	case "LSUB":
		return command{loggedIn, true, (*conn).lsub}
	case "NAMESPACE":
		return command{loggedIn, true, (*conn).namespace}
	case "STATUS":
		return command{loggedIn, true, (*conn).status}
	case "NOTIFY":
		return command{loggedIn, true, (*conn).notify}
	case "APPEND":
		return command{loggedIn, true, (*conn).append}
	case "ESEARCH":
		return command{loggedIn, true, (*conn).esearch}
	case "IDLE":
		return command{loggedIn, true, (*conn).idle}
	}
	return command{}
}

// messageCommand are the commands on the messages of the selected mailbox.
func messageCommand(name string) command {
	switch name {
	case "CHECK":
		return command{selected, true, (*conn).check}
	case "CLOSE":
		return command{selected, false, (*conn).close}
	case "UNSELECT":
		return command{selected, false, (*conn).unselect}
	case "UIDBATCHES":
		return command{selected, true, (*conn).uidBatches}
	case "EXPUNGE", "UID EXPUNGE":
		return command{selected, true, (*conn).expunge}
	case "SEARCH":
		return command{selected, false, (*conn).search}
	case "UID SEARCH":
		return command{selected, true, (*conn).search}
	case "SORT":
		return command{selected, false, (*conn).sort}
	case "UID SORT":
		return command{selected, true, (*conn).sort}
	case "THREAD":
		return command{selected, false, (*conn).thread}
	case "UID THREAD":
		return command{selected, true, (*conn).thread}
	case "CANCELUPDATE":
		return command{selected, true, (*conn).cancelUpdate}
	case "FILTER":
		return command{selected, false, (*conn).filterMessages}
	case "UID FILTER":
		return command{selected, true, (*conn).filterMessages}
	case "FETCH":
		return command{selected, false, (*conn).fetch}
	case "UID FETCH":
		return command{selected, true, (*conn).fetch}
	case "STORE":
		return command{selected, false, (*conn).store}
	case "UID STORE":
		return command{selected, true, (*conn).store}
	case "COPY", "UID COPY":
		return command{selected, true, (*conn).copy}
	case "MOVE", "UID MOVE":
		return command{selected, true, (*conn).move}
	case "REPLACE", "UID REPLACE":
		return command{selected, true, (*conn).replace}
	}
	return command{}
}

// ownerCommand are the commands about what a mailbox has beside messages.
func ownerCommand(name string) command {
	switch name {
	case "GETACL":
		return command{loggedIn, true, (*conn).getACL}
	case "SETACL":
		return command{loggedIn, true, (*conn).setACL}
	case "DELETEACL":
		return command{loggedIn, true, (*conn).deleteACL}
	case "LISTRIGHTS":
		return command{loggedIn, true, (*conn).listRights}
	case "MYRIGHTS":
		return command{loggedIn, true, (*conn).myRights}
	case "GETMETADATA":
		return command{loggedIn, true, (*conn).getMetadata}
	case "SETMETADATA":
		return command{loggedIn, true, (*conn).setMetadata}
	case "GETQUOTA":
		return command{loggedIn, true, (*conn).getQuota}
	case "GETQUOTAROOT":
		return command{loggedIn, true, (*conn).getQuotaRoot}
	case "SETQUOTA":
		return command{loggedIn, true, (*conn).setQuota}
	}
	return command{}
}

// byUID says whether a command names messages by UID.
func byUID(cmd *imap.Command) bool { return len(cmd.Name) > 4 && cmd.Name[:4] == "UID " }

// changes says that a command changes what is on the server, or gives others a
// way to it.
func changes(name string) bool {
	switch name {
	case "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "STORE", "UID STORE", "SETACL", "DELETEACL", "SETMETADATA", "SETQUOTA",
		"GENURLAUTH", "RESETKEY":
		return true
	}
	return changesMessages(name)
}

// changesMessages says that a command adds messages, or takes some away.
func changesMessages(name string) bool {
	switch name {
	case "APPEND", "COPY", "UID COPY", "MOVE", "UID MOVE", "REPLACE", "UID REPLACE", "EXPUNGE", "UID EXPUNGE":
		return true
	}
	return false
}
