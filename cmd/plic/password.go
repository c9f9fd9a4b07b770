package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

const maxPassword = 1024

// prompter asks a question at a terminal without showing the answer.
type prompter func(question string) (string, error)

// terminal says whether in is one, and how to ask there.
func terminal(in io.Reader) (prompter, bool) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, false
	}
	return func(question string) (string, error) {
		fmt.Fprint(os.Stderr, question)
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(text), err
	}, true
}

// isTerminal says whether a file is one.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// password gets the new password of an account in the way that flags ask for.
// made says that we made it up, so that it must be shown.
func (a *app) password(account string, stdin, generate bool) (secret string, made bool, err error) {
	switch {
	case stdin && generate:
		return "", false, usagef("--password-stdin and --generate exclude each other")
	case generate:
		return newPassword(), true, nil
	case stdin:
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", false, fmt.Errorf("reading the password: %w", err)
		}
		secret = strings.TrimRight(line, "\r\n")
		return secret, false, checkPassword(secret)
	}
	ask, ok := a.terminal(a.in)
	if !ok {
		return "", false, usagef("there is no terminal to ask for a password at: use --password-stdin or --generate")
	}
	if secret, err = ask("Password for " + account + ": "); err != nil {
		return "", false, fmt.Errorf("reading the password: %w", err)
	}
	if err := checkPassword(secret); err != nil {
		return "", false, err
	}
	again, err := ask("The same again: ")
	if err == nil && again != secret {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return secret, false, err
}

func checkPassword(secret string) error {
	if secret == "" {
		return errors.New("the password is empty: nothing was changed")
	}
	if len(secret) > maxPassword {
		return fmt.Errorf("the password is longer than %d octets: nothing was changed", maxPassword)
	}
	return nil
}

// newPassword makes a password of 80 random bits that can be read aloud.
func newPassword() string {
	text := strings.ToLower(rand.Text())
	return text[0:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:16]
}
