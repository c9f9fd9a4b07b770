package mail

// Fault is the kind of trouble that kept a message from a recipient: what a
// reply comes to, whatever its words. "" is none.
type Fault string

// The kinds of trouble.
const (
	FaultMailbox    Fault = "mailbox"    // there is no such mailbox, or no more
	FaultFull       Fault = "full"       // it has no room
	FaultSize       Fault = "size"       // the message is too large
	FaultContent    Fault = "content"    // what is in it is taken for spam or worse, or is in no fit form
	FaultPolicy     Fault = "policy"     // the rules of the other side
	FaultReputation Fault = "reputation" // it wants nothing from our address
	FaultGreylist   Fault = "greylist"   // it wants us to come back
	FaultRate       Fault = "rate"       // it has too much to do, or too much of ours
	FaultTLS        Fault = "tls"        // the way is not as safe as it has to be
	FaultDNS        Fault = "dns"        // its hosts cannot be found
	FaultNetwork    Fault = "network"    // they do not answer
	FaultProtocol   Fault = "protocol"   // they do not speak SMTP as they should
	FaultLocal      Fault = "local"      // it is ours
	FaultOther      Fault = "other"      // the words say nothing that we know
)

// Faults are all kinds of trouble.
func Faults() []Fault {
	return []Fault{FaultMailbox, FaultFull, FaultSize, FaultContent, FaultPolicy, FaultReputation, FaultGreylist,
		FaultRate, FaultTLS, FaultDNS, FaultNetwork, FaultProtocol, FaultLocal, FaultOther}
}
