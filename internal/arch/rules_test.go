package arch

// layer is a floor of the house. Imports go down only, and those on one floor
// do not know each other, but for the floors in neighbours.
type layer int

const (
	words    layer = iota // no I/O
	ground                // what everything stands on
	store                 // mail as mailboxes
	out                   // to other hosts
	custody               // who is responsible for a message
	in                    // from other hosts
	read                  // to readers
	assembly              // puts it all together
)

// neighbours may import each other as their rules say.
func (l layer) neighbours() bool {
	return l == words || l == ground || l == store || l == custody || l == assembly
}

func (l layer) String() string {
	return [...]string{"words", "ground", "store", "out", "custody", "in", "read", "assembly"}[l]
}

// rule is what a package may import of ours. Names are relative to internal/.
type rule struct {
	layer layer
	may   string
}

// rules has a row for every package below internal/, in the order of the house.
// A package whose name ends in "test" holds tests of others or doubles for
// them: it may import what it tests, and only tests may import it.
func rules() map[string]rule {
	return map[string]rule{
		"mail":     {words, ""},
		"message":  {words, "mail"},
		"smtp":     {words, "mail"},
		"imap":     {words, "mail message"},
		"sasl":     {words, ""},
		"sieve":    {words, "casemap mail message"},
		"totp":     {words, ""},
		"dovecot":  {words, ""},
		"lang":     {words, ""},
		"casemap":  {words, ""},
		"thread":   {words, ""},
		"dsn":      {words, "mail message"},
		"dane":     {words, ""},
		"mtasts":   {words, ""},
		"wrapped":  {words, "message"},
		"tlsrpt":   {words, "mail message wrapped"},
		"dmarcrpt": {words, "mail message wrapped"},
		"failrpt":  {words, "mail message"},
		"srs":      {words, "mail"},
		"maildir":  {words, ""},
		"mbox":     {words, ""},
		"authres":  {words, ""},
		"content":  {words, "message"},

		"bayes":     {words, "content message"},
		"lookalike": {words, ""},

		"vfs":              {ground, ""},
		"deflate":          {ground, ""},
		"notebook":         {ground, ""},
		"pace":             {ground, ""},
		"dns":              {ground, ""},
		"journal":          {ground, "mail vfs"},
		"config":           {ground, "mail table"},
		"directory":        {ground, "mail passwords sasl"},
		"directory/native": {ground, "directory mail sasl totp vfs"},
		"directory/chain":  {ground, "directory mail"},
		"directory/cached": {ground, "directory mail table"},
		"directory/source": {ground, "directory mail"},

		"directory/database": {ground, "directory directory/source mail table"},
		"directory/dovecot":  {ground, "directory directory/source dovecot mail pool"},
		"directory/ldap":     {ground, "directory directory/source mail pool table"},
		"directory/passwd":   {ground, "directory directory/source mail table vfs"},

		"auth":         {ground, "directory journal mail oauth sasl"},
		"oauth":        {ground, ""},
		"pki":          {ground, "vfs"},
		"table":        {ground, "pool vfs"},
		"maildrop":     {ground, "mail message vfs"},
		"acme":         {ground, "dns pki vfs"},
		"tlspolicy":    {ground, "dane dns mail mtasts notebook tlsrpt"},
		"passwords":    {ground, "sasl"},
		"pool":         {ground, ""},
		"serve":        {ground, ""},
		"proxy":        {ground, ""},
		"spf":          {ground, "dns"},
		"dkim":         {ground, "dns message"},
		"arc":          {ground, "dkim dns"},
		"dmarc":        {ground, "dns mail message"},
		"feedback":     {ground, "dmarc dmarcrpt dns failrpt mail notebook"},
		"check/lists":  {ground, "check/score content dns mail message"},
		"check/milter": {ground, "journal mail message"},
		"check/scan":   {ground, "check/score mail"},
		"check/score":  {ground, "check/sender content mail message"},
		"check/signs":  {ground, "check/score check/sender content dkim dmarc lookalike mail message spf"},
		"check/sender": {ground, "arc authres dkim dmarc dns mail message spf"},
		"check/zone":   {ground, "dane dkim dmarc dns mtasts spf tlsrpt"},

		"backup": {ground, "vfs"},
		"moving": {ground, "imap maildir mbox vfs"},

		"store/engine":              {store, "mail"},
		"store/engine/embedded":     {store, "mail store/engine store/engine/embedded/wal vfs"},
		"store/engine/embedded/wal": {store, "vfs"},
		"store/files":               {store, "mail store/engine vfs"},
		"store/maildir":             {store, "imap mail maildir store/engine store/files vfs"},
		"store/mbox":                {store, "imap mail mbox store/engine store/files vfs"},
		"store/memory":              {store, "mail store/engine"},
		"store/headers":             {store, "message store"},
		"store/search":              {store, "casemap imap message pace store store/engine"},
		"store/recall":              {store, "store"},
		"store":                     {store, "casemap imap mail message pace store/engine vfs"},
		"scripts":                   {store, "sieve store store/engine"},

		"deliver/local":  {out, "mail message pace scripts sieve store"},
		"deliver/pipe":   {out, "journal mail vfs"},
		"deliver/remote": {out, "dns journal mail sasl smtp"},

		"check/greylist": {custody, "check/score check/sender dkim spf store/recall"},
		"learn":          {custody, "authres bayes check/greylist check/score check/sender content dkim mail message pace spf store store/engine store/recall"},
		"queue":          {custody, "journal mail"},
		"route":          {custody, "directory mail srs table vfs"},
		"bounce":         {custody, "dsn mail message"},
		"embargo":        {custody, "mail queue store store/engine"},
		"signer":         {custody, "arc dkim dmarc mail message store/engine"},
		"post":           {custody, "arc authres check/milter check/score check/sender deliver/local directory journal mail message queue route sieve store store/engine table"},

		"check": {in, "dns mail pool table"},
		"authd": {in, "auth directory dovecot mail sasl serve"},
		"smtpd": {in, "auth journal mail message sasl serve smtp"},

		"imapd":        {read, "auth casemap deflate imap journal lang mail message pace sasl serve store store/engine store/headers store/search thread"},
		"managesieved": {read, "auth journal mail scripts serve sieve store store/engine"},

		"pop3d": {read, "auth journal lang mail message sasl serve store store/engine"},

		"autoconf": {read, "mail"},

		"control": {assembly, "dmarcrpt embargo journal mail moving queue tlsrpt"},
		"server": {assembly, `
			acme
			auth
			authd
			autoconf
			backup
			bayes
			bounce
			check
			check/greylist
			check/lists
			check/milter
			check/scan
			check/score
			check/sender
			check/signs
			config
			content
			control
			dane
			deliver/local
			deliver/pipe
			deliver/remote
			directory
			directory/cached
			directory/chain
			directory/database
			directory/dovecot
			directory/ldap
			directory/native
			directory/passwd
			directory/source
			dkim
			dmarc
			dmarcrpt
			dns
			embargo
			failrpt
			feedback
			imapd
			journal
			learn
			lookalike
			mail
			maildrop
			managesieved
			message
			moving
			mtasts
			notebook
			oauth
			pace
			pki
			pop3d
			post
			proxy
			queue
			route
			sasl
			scripts
			serve
			sieve
			signer
			smtp
			smtpd
			srs
			store
			store/engine
			store/engine/embedded
			store/engine/embedded/wal
			store/files
			store/headers
			store/maildir
			store/mbox
			store/recall
			store/search
			table
			tlspolicy
			tlsrpt
			totp
			vfs
			wrapped`},
		"arch": {assembly, ""},
	}
}

// ban is something that no package but those in except may do outside tests.
type ban struct {
	what   string // an import, or "package.Name" for a use
	except string
	why    string
}

// bans on imports. A path that ends in "/" means all below it.
func bannedImports() []ban {
	return []ban{
		{"net/mail", "", "its parser is not bounded and fails on real mail; use internal/message"},
		{"net/textproto", "", "it is not strict about line ends; use internal/smtp or internal/message"},
		{"mime", "", "use internal/message, which never fails on content"},
		{"mime/multipart", "", "use internal/message, which is bounded and never fails on content"},
		{"net/smtp", "", "deliver/remote is our client"},
		{"log", "", "use log/slog, given in Options"},
		{"math/rand", "", "use math/rand/v2 or crypto/rand"},
		{"reflect", "", "say what is meant in types"},
		{"unsafe", "", "memory safety is a promise"},
		{"plic/internal/config", "config server cmd/plic", "every package has Options of its own"},
		{"github.com/cockroachdb/pebble/v2", "store/engine/embedded vfs", "an engine is behind store/engine"},
		{"github.com/cockroachdb/pebble/v2/vfs", "vfs journal store/engine/embedded store/engine/embedded/wal", "use internal/vfs"},
		{"database/sql", "directory/database", "a database is behind directory/database"},
		{"github.com/go-ldap/", "directory/ldap", "LDAP is behind directory/ldap"},
		{"github.com/go-sql-driver/mysql", "directory/database", "a database is behind directory/database"},
		{"github.com/jackc/pgx/", "directory/database", "a database is behind directory/database"},
		{"modernc.org/sqlite", "directory/database", "a database is behind directory/database"},
		{"github.com/miekg/dns", "dns", "use internal/dns"},
		{"github.com/pelletier/go-toml/", "config", "only config reads TOML"},
		{"github.com/spf13/cobra", "cmd/plic", "only the command has a command line"},
		{"github.com/prometheus/client_golang/", "control", "metrics are made of the journal's counters"},
		{"github.com/xdg-go/", "sasl", "use internal/sasl"},
		{"golang.org/x/term", "cmd/plic", "only the command has a terminal"},
	}
}

// bannedUses are names of the standard library.
func bannedUses() []ban {
	const write = "only vfs opens files for writing, else tests of crashes are blind"
	bans := []ban{
		{"os.Exit", "cmd/plic", "a package returns an error; only the command ends the process"},
		{"time.Sleep", "", "wait on something that a context can end and a test can drive"},
	}
	for name, except := range map[string]string{
		"Create": "", "OpenFile": "", "CreateTemp": "", "MkdirTemp": "", "Truncate": "", "Link": "", "Symlink": "", "Mkdir": "",
		"Rename":    "control",          // of the control socket, which is no mail
		"Remove":    "control",          // likewise
		"Chmod":     "control maildrop", // likewise, and of the directory for letters
		"RemoveAll": "",                 //
		"MkdirAll":  "server",           // the data directory itself, before there is a vfs
		"WriteFile": "cmd/plic",         // quickstart's note of the passwords that it made up
	} {
		bans = append(bans, ban{"os." + name, except, write})
	}
	return bans
}

// The size budget. Tests are excepted.
const (
	maxFile       = 500
	wantFunction  = 60
	maxFunction   = 100
	maxInterface  = 12
	wantInterface = 6
)

// longFunctions may be longer than maxFunction, each for a reason. Keys are
// "package.Function" or "package.Type.Method".
func longFunctions() map[string]string {
	return map[string]string{}
}

// undocumented are methods whose name says it all, as an interface of the
// standard library documents them.
func undocumented() map[string]bool {
	return map[string]bool{
		"Error": true, "Unwrap": true, "Is": true, "String": true,
		"Len": true, "Less": true, "Swap": true, "Push": true, "Pop": true,
		"Read": true, "Write": true, "Close": true, "ReadAt": true, "Seek": true,
		"Describe": true, "Collect": true,
	}
}
