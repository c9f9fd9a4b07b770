if bad {
