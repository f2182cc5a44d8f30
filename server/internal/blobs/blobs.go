package blobs

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/terrane/terrane/tenant"
)

// Source is where the content of files is, under its hash.
type Source interface {
	Open(h tenant.Hash) (io.ReadSeekCloser, error)
}

// Cache opens files, and keeps the small ones that were opened last in memory: opening one
// on disk costs as much as the rest of a request. It is safe for concurrent use.
type Cache struct {
	from Source
	room int64 // bytes kept

	mu     sync.Mutex
	byHash map[tenant.Hash]*list.Element // of kept; guarded by mu
	recent list.List                     // most recently used first; guarded by mu
	bytes  int64                         // guarded by mu
}

type kept struct {
	hash tenant.Hash
	data []byte
}

// NewCache returns an empty Cache of the files in from, which keeps at most room bytes.
func NewCache(from Source, room int64) *Cache {
	return &Cache{from: from, room: room, byHash: make(map[tenant.Hash]*list.Element)}
}

// MaxKept is the largest file that is kept, in bytes.
const MaxKept = 64 << 10

// inMemory is a kept file, open.
type inMemory struct{ bytes.Reader }

// Close implements io.Closer.
func (*inMemory) Close() error { return nil }

// Open opens a file. Its caller closes it.
func (c *Cache) Open(f tenant.File) (io.ReadSeekCloser, error) {
	if f.Size > MaxKept {
		return c.from.Open(f.Hash)
	}
	data, ok := c.find(f.Hash)
	if !ok {
		var err error
		if data, err = Read(c.from, f); err != nil {
			return nil, err
		}
		c.keep(kept{f.Hash, data})
	}
	m := new(inMemory)
	m.Reset(data)
	return m, nil
}

func (c *Cache) find(h tenant.Hash) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byHash[h]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(kept).data, true
}

func (c *Cache) keep(k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byHash[k.hash]; ok {
		return
	}
	c.byHash[k.hash] = c.recent.PushFront(k)
	c.bytes += int64(len(k.data))
	for c.bytes > c.room {
		old := c.recent.Remove(c.recent.Back()).(kept)
		delete(c.byHash, old.hash)
		c.bytes -= int64(len(old.data))
	}
}

// Read reads a whole file. The error wraps tenant.ErrDamaged if the file is not what its size
// and hash say.
func Read(from Source, f tenant.File) (_ []byte, err error) {
	r, err := from.Open(f.Hash)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := r.Close(); err == nil {
			err = e
		}
	}()
	data := make([]byte, f.Size)
	_, err = io.ReadFull(r, data)
	switch short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
	case short, err == nil && sha256.Sum256(data) != f.Hash:
		return nil, fmt.Errorf("read %s from the mirror: %w", f.Hash, tenant.ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("read %s from the mirror: %w", f.Hash, err)
	}
	return data, nil
}
