package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"plic/internal/vfs"
)

// ErrDamaged says that a file is there but holds no certificate or key.
var ErrDamaged = errors.New("not a certificate or key")

// Load reads a certificate with its chain and key; nil if there is no file.
func Load(fs vfs.FS, dir, name string) (*tls.Certificate, error) {
	text, err := read(fs, fs.PathJoin(dir, name))
	if text == nil || err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrDamaged, err)
	}
	return &cert, nil
}

// Save keeps a certificate with its chain and key in one file, so that they
// never differ.
func Save(fs vfs.FS, dir, name string, cert *tls.Certificate) error {
	text, err := encode(cert.Certificate, cert.PrivateKey)
	if err != nil {
		return err
	}
	if err := vfs.MakeDir(fs, dir); err != nil {
		return err
	}
	return write(fs, dir, name, text, true)
}

// NewKey makes a private key as all of ours are.
func NewKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// Key reads a private key, made if there is none. One that cannot be read is
// an error: others may hold us to it.
func Key(fs vfs.FS, dir, name string) (crypto.Signer, error) {
	text, err := read(fs, fs.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	if text != nil {
		if block, _ := pem.Decode(text); block != nil {
			if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if signer, ok := key.(crypto.Signer); ok {
					return signer, nil
				}
			}
		}
		return nil, fmt.Errorf("%s: %w: remove the file to have a new one made", name, ErrDamaged)
	}
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	if text, err = encode(nil, key); err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(fs, dir); err != nil {
		return nil, err
	}
	return key, write(fs, dir, name, text, true)
}

// Next is the key that comes after the host's: its TLSA record can stand in the
// DNS long before.
func Next(fs vfs.FS, dir string) (crypto.Signer, error) { return Key(fs, dir, NextFile) }

// Forget makes a new next key in place of the one that is in use now.
func Forget(fs vfs.FS, dir string) error {
	if err := fs.Remove(fs.PathJoin(dir, NextFile)); err != nil && !vfs.NotExist(err) {
		return err
	}
	_, err := Next(fs, dir)
	return err
}

// encode writes certificates and a key as PEM.
func encode(chain [][]byte, key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, cert := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	}
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}
