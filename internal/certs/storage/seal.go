package certs

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// sealMark starts each sealed value, so that plain ones are told from damaged ones.
const sealMark = "terrane sealed 1\n"

// errSealed is why a value is not used, nor replaced: with a wrong key at one edge,
// replacing would order each certificate anew and take it from the other edges.
var errSealed = errors.New("was changed, or sealed under another key: give this edge the others' key, or delete it")

// sealed encrypts the values of a Storage with AES-256-GCM, each bound to its key.
type sealed struct {
	Storage
	aead cipher.AEAD
}

// seal encrypts what s keeps. All edges must have the secret, of 32 bytes at least.
func seal(s Storage, secret []byte) (Storage, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("certs: a key to encrypt certificates with has at least %d bytes", minSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "terrane certificate storage", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealed{Storage: s, aead: aead}, nil
}

// Store encrypts.
func (s *sealed) Store(ctx context.Context, key string, value []byte) error {
	box := s.aead.Seal([]byte(sealMark), nil, value, []byte(key)) //nolint:gosec // the nonce is random: NewGCMWithRandomNonce
	return s.Storage.Store(ctx, key, box)
}

// Load decrypts, or returns an error that wraps errSealed.
func (s *sealed) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	box, ok := bytes.CutPrefix(value, []byte(sealMark))
	if !ok {
		return nil, fmt.Errorf("%s: is not encrypted, and %w", key, errSealed)
	}
	value, err = s.aead.Open(nil, nil, box, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, errSealed)
	}
	return value, nil
}

// plain refuses what others have sealed.
type plain struct{ Storage }

// Load returns an error that wraps errSealed for a sealed value.
func (s plain) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Storage.Load(ctx, key)
	if err == nil && bytes.HasPrefix(value, []byte(sealMark)) {
		return nil, fmt.Errorf("%s: %w", key, errSealed)
	}
	return value, err
}
