package hostcalls

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// MemoryKV is a KV that lasts as long as the process, for `terrane dev`,
// `terrane run` and tests.
type MemoryKV struct {
	quota Quota

	mu      sync.Mutex
	entries map[string]KVEntry
	size    int64
	version uint64
}

// NewMemoryKV returns an empty store.
func NewMemoryKV(q Quota) *MemoryKV {
	return &MemoryKV{quota: q.WithDefaults(), entries: map[string]KVEntry{}}
}

// Get implements KV.
func (m *MemoryKV) Get(_ context.Context, key string) (KVEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.live(key)
	if !ok {
		return KVEntry{}, ErrNotFound
	}
	return e, nil
}

// Put implements KV.
func (m *MemoryKV) Put(_ context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.live(key)
	if old.Version != at {
		return 0, ErrConflict
	}
	grown, more := int64(len(value)-len(old.Value)), 0
	if !ok {
		grown, more = grown+int64(len(key))+KVEntryCost, 1
	}
	full := func() bool { return m.size+grown > m.quota.Bytes || len(m.entries)+more > m.quota.Keys }
	if full() {
		m.expire()
	}
	if full() {
		return 0, ErrFull
	}
	m.size += grown
	m.version++
	m.entries[strings.Clone(key)] = KVEntry{Value: value, Version: m.version, Expires: expires}
	return m.version, nil
}

// Delete implements KV.
func (m *MemoryKV) Delete(_ context.Context, key string, at uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.live(key)
	switch {
	case !ok:
		return ErrNotFound
	case e.Version != at:
		return ErrConflict
	}
	m.drop(key, e)
	return nil
}

// List implements KV.
func (m *MemoryKV) List(_ context.Context, prefix, after string, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	var keys []string
	for key := range m.entries {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), limit)], nil
}

// live returns the key's entry unless its time is over.
func (m *MemoryKV) live(key string) (KVEntry, bool) {
	e, ok := m.entries[key]
	if ok && e.over(time.Now()) {
		m.drop(key, e)
		return KVEntry{}, false
	}
	return e, ok
}

func (m *MemoryKV) expire() {
	now := time.Now()
	for key, e := range m.entries {
		if e.over(now) {
			m.drop(key, e)
		}
	}
}

func (m *MemoryKV) drop(key string, e KVEntry) {
	m.size -= int64(len(key)+len(e.Value)) + KVEntryCost
	delete(m.entries, key)
}

func (e KVEntry) over(now time.Time) bool { return !e.Expires.IsZero() && !now.Before(e.Expires) }
