// Package arc checks and extends the chain of seals that those who forward a
// message leave on it, so that what the first of them saw of its sender is still
// known after a change broke the sender's own signature.
//
// RFC 8617 (Authenticated Received Chain).
package arc
