#!/bin/sh
# Formatting, vet and staticcheck over the whole tree; prints what is wrong.
set -eu
export CGO_ENABLED=0

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	echo "not formatted, run gofmt -w on:"
	echo "$unformatted"
	exit 1
fi
go vet ./...
(cd test/foreign && go vet ./...)
go tool -modfile=tools/go.mod staticcheck -checks 'all,-ST1000,-ST1005,-ST1020,-ST1021,-ST1022' ./...
