package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// Shared is a Storage in a key-value store that all edges share. It is safe for
// concurrent use.
//
// A value begins with the time of its Store. A lock is a key that its holder changes
// several times in a lease: whoever finds it unchanged for a lease of his own clock
// replaces it, and compare-and-set lets one of them win. A lock starts a goroutine that
// ends with Unlock.
type Shared struct {
	kv    hostcalls.KV
	lease time.Duration

	mu   sync.Mutex
	held map[string]*sharedLock
}

// NewShared keeps certificates in kv, which holds nothing else. The lock of an edge
// that died excludes others for lease; all edges agree on it. It must be longer than
// kv ever stalls. Default 20 s.
func NewShared(kv hostcalls.KV, lease time.Duration) *Shared {
	if lease <= 0 {
		lease = 20 * time.Second
	}
	return &Shared{kv: kv, lease: lease, held: make(map[string]*sharedLock)}
}

// What keys begin with.
const (
	sharedValues = "v/"
	sharedLocks  = "l/"
)

func sharedKey(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return sharedValues + key, checkKey(key)
}

// Store replaces the value at key, and returns when kv has confirmed that.
func (s *Shared) Store(ctx context.Context, key string, value []byte) error {
	name, err := sharedKey(ctx, key)
	if err != nil {
		return err
	}
	box := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(time.Now().UnixNano()))
	box = append(box, value...)
	return s.retry(ctx, name, func(at uint64) error {
		_, err := s.kv.Put(ctx, name, box, at, time.Time{})
		return err
	})
}

// retry does something to a key at the version it has, again if that has changed.
func (s *Shared) retry(ctx context.Context, name string, do func(at uint64) error) error {
	for {
		e, err := s.kv.Get(ctx, name)
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return err
		}
		if err = do(e.Version); !errors.Is(err, hostcalls.ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Load returns the value at key.
func (s *Shared) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.load(ctx, key)
	return value, err
}

func (s *Shared) load(ctx context.Context, key string) (value []byte, modified time.Time, err error) {
	name, err := sharedKey(ctx, key)
	if err != nil {
		return nil, time.Time{}, err
	}
	e, err := s.kv.Get(ctx, name)
	switch {
	case errors.Is(err, hostcalls.ErrNotFound):
		return nil, time.Time{}, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	case err != nil:
		return nil, time.Time{}, err
	case len(e.Value) < 8:
		return nil, time.Time{}, fmt.Errorf("%s: %w", key, ErrSealed)
	}
	return e.Value[8:], time.Unix(0, int64(binary.BigEndian.Uint64(e.Value))), nil
}

// Delete removes key and all below it.
func (s *Shared) Delete(ctx context.Context, key string) error {
	if _, err := sharedKey(ctx, key); err != nil {
		return err
	}
	keys, err := s.below(ctx, key)
	if err != nil {
		return err
	}
	for _, key := range append(keys, key) {
		name := sharedValues + key
		err := s.retry(ctx, name, func(at uint64) error { return s.kv.Delete(ctx, name, at) })
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return err
		}
	}
	return nil
}

// below names all values below a key, the empty one included.
func (s *Shared) below(ctx context.Context, key string) (keys []string, err error) {
	const page = 1000
	prefix := sharedValues
	if key != "" {
		prefix += key + "/"
	}
	for after := ""; ; {
		names, err := s.kv.List(ctx, prefix, after, page)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			keys = append(keys, name[len(sharedValues):])
		}
		if len(names) < page {
			return keys, nil
		}
		after = names[page-1]
	}
}

// Exists says whether there is a value at key or below.
func (s *Shared) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// Stat describes a key.
func (s *Shared) Stat(ctx context.Context, key string) (KeyInfo, error) {
	value, modified, err := s.load(ctx, key)
	if err == nil {
		return KeyInfo{Key: key, Modified: modified, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return KeyInfo{}, err
	}
	names, listErr := s.kv.List(ctx, sharedValues+key+"/", "", 1)
	if listErr != nil {
		return KeyInfo{}, listErr
	}
	if len(names) == 0 {
		return KeyInfo{}, err
	}
	return KeyInfo{Key: key}, nil
}

// List names the keys below prefix: those of values at any depth if recursive, else
// those one step below, folders included.
func (s *Shared) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	prefix = strings.TrimSuffix(prefix, ".")
	if prefix != "" {
		if _, err := sharedKey(ctx, prefix); err != nil {
			return nil, err
		}
	}
	keys, err := s.below(ctx, prefix)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: %w", prefix, fs.ErrNotExist)
	}
	if recursive {
		return keys, nil
	}
	for i, key := range keys {
		start := 0
		if prefix != "" {
			start = len(prefix) + 1
		}
		first, _, _ := strings.Cut(key[start:], "/")
		keys[i] = key[:start+len(first)]
	}
	return slices.Compact(keys), nil // folders stand together: keys are in order
}
