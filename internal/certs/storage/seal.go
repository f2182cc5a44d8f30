package storage

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

// MinSecret is the least length of a secret, in bytes.
const MinSecret = 32

// sealMark starts each sealed value, so that plain ones are told from damaged ones.
const sealMark = "terrane sealed 1\n"

// ErrSealed is why a value is not used, nor replaced: with a wrong key at one edge,
// replacing would order each certificate anew and take it from the other edges.
var ErrSealed = errors.New("was changed, or sealed under another key: give this edge the others' key, or delete it")

// sealed encrypts the values of a Storage with AES-256-GCM, each bound to its key.
type sealed struct {
	Storage
	aead cipher.AEAD
}

// Sealed returns s with its values encrypted. All edges need the same secret, of at least
// 32 bytes.
func Sealed(s Storage, secret []byte) (Storage, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("storage: a key to encrypt certificates with has at least %d bytes", MinSecret)
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

// Load decrypts, or returns an error that wraps ErrSealed.
func (s *sealed) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	box, ok := bytes.CutPrefix(value, []byte(sealMark))
	if !ok {
		return nil, fmt.Errorf("%s: is not encrypted, and %w", key, ErrSealed)
	}
	value, err = s.aead.Open(nil, nil, box, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, ErrSealed)
	}
	return value, nil
}

// Unsealed returns s, which refuses values that others have sealed.
func Unsealed(s Storage) Storage { return unsealed{s} }

type unsealed struct{ Storage }

// Load returns an error that wraps ErrSealed for a sealed value.
func (s unsealed) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Storage.Load(ctx, key)
	if err == nil && bytes.HasPrefix(value, []byte(sealMark)) {
		return nil, fmt.Errorf("%s: %w", key, ErrSealed)
	}
	return value, err
}
