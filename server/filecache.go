package server

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"

	"github.com/terrane/terrane/tenant"
)

// fileCache opens files, and keeps the small ones that were asked for last in memory:
// opening one costs as much as all the rest of a request. Content under a hash never
// changes, so nothing kept is ever stale.
type fileCache struct {
	blobs Blobs
	room  int64 // bytes kept

	mu     sync.Mutex
	byHash map[tenant.Hash]*list.Element // of kept; guarded by mu
	recent list.List                     // most recently used first; guarded by mu
	bytes  int64                         // guarded by mu
}

type kept struct {
	hash tenant.Hash
	data []byte
}

// maxKept is the largest file that is kept.
const maxKept = 64 << 10

// inMemory is a kept file, open.
type inMemory struct{ bytes.Reader }

// Close implements io.Closer.
func (*inMemory) Close() error { return nil }

func (c *fileCache) open(f tenant.File) (io.ReadSeekCloser, error) {
	if f.Size > maxKept {
		return c.blobs.Open(f.Hash)
	}
	data, ok := c.find(f.Hash)
	if !ok {
		var err error
		if data, err = readBlob(c.blobs, f); err != nil {
			return nil, err
		}
		c.keep(kept{f.Hash, data})
	}
	m := new(inMemory)
	m.Reset(data)
	return m, nil
}

func (c *fileCache) find(h tenant.Hash) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byHash[h]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(kept).data, true
}

func (c *fileCache) keep(k kept) {
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

// readBlob reads a whole file, which has been found to be of its size.
func readBlob(from Blobs, f tenant.File) (_ []byte, err error) {
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
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read %s from the mirror: %w", f.Hash, err)
	}
	if sha256.Sum256(data) != f.Hash {
		return nil, fmt.Errorf("%s is damaged in the mirror", f.Hash)
	}
	return data, nil
}
