// Package config holds the settings of a site: one TOML file of `key = value`
// lines in sections that follow a message's journey.
//
// A Config is plain structs with typed values. One table (settings.go) binds
// every field to its name, its check and its documentation; the reference in
// docs/config.md, the sample file and the effective file that `plic config show`
// prints all come from it. Reading is strict: an unknown name, a wrong type and
// a wrong value are Problems with file, line, column and the nearest right name,
// and all of them are reported at once. No secret stands in the file: settings
// name the files that hold them.
//
// Only the server and the command line read this package; every other one has
// small Options of its own.
package config
