// Package crash kills plic and sees whether it kept its word. A load of every
// protocol writes a ledger of what it sends and what it is promised; the server
// as it is built and served is killed with SIGKILL in the midst of it, started
// again, and everything that can be seen then is held against the ledger: what
// was acknowledged is there once, what was not is whole or absent, what was
// deleted stays away, no UID names two messages, no counter falls.
//
// The same ledger judges a stop by SIGTERM under load, a disk that is full, and
// a process that has run out of file descriptors.
//
// PLIC_CRASH_CYCLES sets how often the server is killed, PLIC_CRASH_SEED plays
// the choices of an earlier run again.
package crash
