// Package arch holds no code, only tests of the whole tree: which package may
// import which (rules_test.go is the table), how long files and functions may
// be, that all is documented, that nothing global changes, and that the
// documents tell of every package, RFC and library.
package arch
