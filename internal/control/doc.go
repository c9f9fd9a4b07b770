// Package control is the socket behind the command line, and the health and
// metrics pages.
//
// Operations is all that an administrator can ask of a site. The running server
// answers it over a Unix socket in the data directory (Listen, Serve), where
// Dial gives a client with the same methods; when no server runs, the command
// line uses the same Operations on the directory itself. The socket's mode is
// 0600: who may open it may do everything.
//
// On the wire it is HTTP/1.1: POST /v1/<operation> with a JSON value; the
// answer is JSON lines, each with a value, and a last one that says whether all
// went well. So a list of any length passes in bounded memory, and one that was
// cut off is known as such.
package control
