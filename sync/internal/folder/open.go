package folder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
)

const sumSuffix = ".sha256"

// List implements origin.Origin.
func (f *Folder) List(_ context.Context, name string) (*origin.Listing, error) {
	s, ok := f.seen[name]
	if !ok || s.stamp == "" {
		return nil, fmt.Errorf("%s: %w", name, origin.ErrUnsettled)
	}
	if s.err != nil {
		return nil, s.err
	}
	l := &origin.Listing{Time: time.Now(), Settled: func() error { return f.settled(name, s) }}
	sums := map[string]bool{}
	for _, file := range s.files {
		if base, ok := strings.CutSuffix(file.path, sumSuffix); ok {
			sums[base] = true
		}
	}
	for _, file := range s.files {
		l.Files = append(l.Files, origin.Entry{
			Path: file.path, Size: file.stat.size, Key: f.fileKey(s, &file),
			Open: func() (io.ReadCloser, error) {
				r, err := f.open(name, s, file, sums[file.path])
				if errors.Is(err, origin.ErrUnsettled) {
					s.hold = time.Now().Add(s.settle << min(s.tries, 5))
					s.tries++
				}
				return r, err
			},
		})
	}
	return l, nil
}

// fileKey names the content of a file. Where stat does not tell of each change, the
// name holds until content is found to differ, and in this process only: marks are
// not kept.
func (f *Folder) fileKey(s *seen, file *file) string {
	mark := s.mark
	if mark == "" && file.stat.kind != local {
		mark = f.began
	}
	if mark == "" {
		return file.stat.key()
	}
	return file.stat.key() + "." + mark
}

// settled scans once more: what was read is one state if nothing has changed.
func (f *Folder) settled(name string, s *seen) error {
	root, err := os.OpenRoot(f.o.Path)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // opened for reading
	if _, stamp, _ := f.scan(root, name, devices{}); stamp != s.stamp {
		return fmt.Errorf("%s: %w", name, origin.ErrUnsettled)
	}
	return nil
}

// open opens a file that is whole, as far as can be known. Opening does not wait
// for a pipe, and follows no symlink out of the tenant's folder.
func (f *Folder) open(name string, s *seen, want file, hasSum bool) (io.ReadCloser, error) {
	root, err := openTenant(f.o.Path, name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // opened for reading
	r, err := root.OpenFile(want.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, origin.Refuse("%q cannot be read: let the edge's user read it", want.path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, unsettled(want.path, "it has vanished")
	case err != nil:
		return nil, err
	}
	if err := f.whole(root, r, s, want, hasSum); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func openTenant(store, name string) (*os.Root, error) {
	root, err := os.OpenRoot(store)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // opened for reading
	return root.OpenRoot(name)
}

// whole tells a finished file from one that is being copied.
func (f *Folder) whole(root *os.Root, r *os.File, s *seen, want file, hasSum bool) error {
	info, err := r.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || !statOf(info, kindOf(r)).same(want.stat) {
		return unsettled(want.path, "it has changed")
	}
	if want.stat.kind != foreign {
		open, known := openForWriting(r)
		if open {
			return unsettled(want.path, "it is open for writing")
		}
		if !known && f.o.Settle == 0 && time.Since(s.since) < settleRemote {
			return unsettled(want.path, "nothing tells whether its owner has it open")
		}
	}
	// What looks broken may be half-written; after a while it is just broken.
	awaited := time.Since(s.since) < patience*s.settle
	if strings.HasSuffix(want.path, ".wasm") && awaited && !wholeModule(r, want.stat.size) {
		return unsettled(want.path, "it ends inside a section")
	}
	if !hasSum {
		return nil
	}
	if err := checkSum(root, r, want.path); err != nil {
		if awaited {
			return unsettled(want.path, "it does not match "+want.path+sumSuffix)
		}
		return err
	}
	return nil
}

func unsettled(name, why string) error {
	return fmt.Errorf("%q is %w: %s", name, origin.ErrUnsettled, why)
}

// checkSum compares r with the digest that stands beside it, as sha256sum writes it.
func checkSum(root *os.Root, r io.ReaderAt, name string) error {
	side, err := root.OpenFile(name+sumSuffix, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer side.Close() //nolint:errcheck // opened for reading
	want := make([]byte, 2*sha256.Size)
	if _, err := io.ReadFull(side, want); err != nil {
		return origin.Refuse("%q holds no SHA-256 in hexadecimal: write it with sha256sum", name+sumSuffix)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, 1<<62)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(got, string(want)) {
		return origin.Refuse("%q has the SHA-256 %s, not the one in %q: copy it again", name, got, name+sumSuffix)
	}
	return nil
}
