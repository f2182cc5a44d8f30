package memorykv

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// Store is a hostcalls.KV in memory.
type Store struct {
	quota hostcalls.Quota

	mu      sync.Mutex
	entries map[string]hostcalls.KVEntry
	size    int64
	version uint64
}

// New returns an empty store.
func New(q hostcalls.Quota) *Store {
	return &Store{quota: q.WithDefaults(), entries: map[string]hostcalls.KVEntry{}}
}

// Get implements hostcalls.KV.
func (m *Store) Get(_ context.Context, key string) (hostcalls.KVEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.live(key)
	if !ok {
		return hostcalls.KVEntry{}, hostcalls.ErrNotFound
	}
	return e, nil
}

// Put implements hostcalls.KV.
func (m *Store) Put(_ context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.live(key)
	if old.Version != at {
		return 0, hostcalls.ErrConflict
	}
	grown, more := int64(len(value)-len(old.Value)), 0
	if !ok {
		grown, more = grown+int64(len(key))+hostcalls.KVEntryCost, 1
	}
	full := func() bool { return m.size+grown > m.quota.Bytes || len(m.entries)+more > m.quota.Keys }
	if full() {
		m.expire()
	}
	if full() {
		return 0, hostcalls.ErrFull
	}
	m.size += grown
	m.version++
	m.entries[strings.Clone(key)] = hostcalls.KVEntry{Value: value, Version: m.version, Expires: expires}
	return m.version, nil
}

// Delete implements hostcalls.KV.
func (m *Store) Delete(_ context.Context, key string, at uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.live(key)
	switch {
	case !ok:
		return hostcalls.ErrNotFound
	case e.Version != at:
		return hostcalls.ErrConflict
	}
	m.drop(key, e)
	return nil
}

// List implements hostcalls.KV.
func (m *Store) List(_ context.Context, prefix, after string, limit int) ([]string, error) {
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
func (m *Store) live(key string) (hostcalls.KVEntry, bool) {
	e, ok := m.entries[key]
	if ok && over(e, time.Now()) {
		m.drop(key, e)
		return hostcalls.KVEntry{}, false
	}
	return e, ok
}

func (m *Store) expire() {
	now := time.Now()
	for key, e := range m.entries {
		if over(e, now) {
			m.drop(key, e)
		}
	}
}

func (m *Store) drop(key string, e hostcalls.KVEntry) {
	m.size -= int64(len(key)+len(e.Value)) + hostcalls.KVEntryCost
	delete(m.entries, key)
}

func over(e hostcalls.KVEntry, now time.Time) bool {
	return !e.Expires.IsZero() && !now.Before(e.Expires)
}
