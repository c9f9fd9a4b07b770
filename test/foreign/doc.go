// Package foreign has the program judged by Go clients that others wrote,
// go-imap and go-smtp. It is a module of its own, for plic not to depend on
// them.
package foreign
