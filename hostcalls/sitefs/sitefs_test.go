package sitefs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/terrane/terrane/hostcalls/sitefs"
	"github.com/terrane/terrane/tenant"
)

type readSeekCloser struct{ io.ReadSeeker }

func (readSeekCloser) Close() error { return nil }

func TestFiles(t *testing.T) {
	content := map[tenant.Hash]string{}
	s := &tenant.Snapshot{Time: time.Unix(1_700_000_000, 0), Files: map[string]tenant.File{}}
	for _, name := range []string{"a.txt", "sub/b.txt", "sub/deep/c.txt", "app.wasm", ".git/config", "terrane.toml", "sub/.secret"} {
		h := tenant.Hash(sha256.Sum256([]byte(name)))
		content[h] = "content of " + name
		s.Files[name] = tenant.File{Hash: h, Size: int64(len(content[h]))}
	}
	plain := false
	files := sitefs.New(s, func(h tenant.Hash) (io.ReadSeekCloser, error) {
		r := bytes.NewReader([]byte(content[h]))
		if plain {
			return readSeekCloser{r}, nil // without ReadAt
		}
		return struct {
			*bytes.Reader
			io.Closer
		}{r, readSeekCloser{}}, nil
	})
	for range 2 {
		if err := fstest.TestFS(files, "a.txt", "sub/b.txt", "sub/deep/c.txt"); err != nil {
			t.Error(err)
		}
		plain = true
	}
	for _, name := range []string{"app.wasm", ".git/config", ".git", "terrane.toml", "sub/.secret", "../a.txt", "absent", "/a.txt"} {
		if _, err := fs.Stat(files, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want that there is none", name, err)
		}
	}
}
