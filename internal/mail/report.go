package mail

// Report is a delivery status notification (RFC 3464) ready to be sent: a
// message of our own making and the envelope that carries it.
type Report struct {
	Envelope Envelope
	Message  []byte
}
