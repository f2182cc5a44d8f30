package server_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

type memoryBlobs map[tenant.Hash]string

func (m memoryBlobs) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	text, ok := m[h]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader([]byte(text)), io.NopCloser(nil)}, nil
}

func TestFilesOfAProgram(t *testing.T) {
	snap := &tenant.Snapshot{Time: time.Unix(1e9, 0), Files: map[string]tenant.File{}}
	blobs := memoryBlobs{}
	for i, name := range []string{"index.html", "posts/a.md", "posts/deep/b.md", "posts/c.md", "app.wasm", "terrane.toml", ".env", "posts/.draft"} {
		h := tenant.Hash{byte(i)}
		blobs[h], snap.Files[name] = name, tenant.File{Hash: h, Size: int64(len(name))}
	}
	files := server.NewFiles(snap, blobs)
	if err := fstest.TestFS(files, "index.html", "posts/a.md", "posts/c.md", "posts/deep/b.md"); err != nil {
		t.Error(err)
	}
	for _, hidden := range []string{"app.wasm", "terrane.toml", ".env", "posts/.draft", "../x", "/index.html", "none"} {
		if _, err := files.Open(hidden); err == nil {
			t.Errorf("a program can open %s", hidden)
		}
	}
	delete(blobs, tenant.Hash{0})
	if _, err := files.Open("index.html"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("content that is gone: %v", err)
	}
}
