package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/sync/internal/origin"
)

// maxIndexer bounds the address space of the git command that indexes or repacks.
const maxIndexer = 1 << 30

// indexer is a storage that leaves packs to the git command, where there is one:
// go-git holds every object it indexes in memory, git streams the large ones, and
// being another process it can be bounded. It serves one fetch.
type indexer struct {
	*filesystem.Storage
	ctx context.Context // of the fetch; go-git passes none to PackfileWriter
	o   Options
}

// PackfileWriter implements storer.PackfileWriter.
func (i indexer) PackfileWriter() (io.WriteCloser, error) {
	if _, err := exec.LookPath("git"); err != nil {
		w, err := i.Storage.PackfileWriter()
		if err != nil || i.o.MaxPack == 0 {
			return w, err
		}
		return &capped{w, i.o.MaxPack}, nil
	}
	args := []string{"index-pack", "--stdin", "--threads=1"}
	if i.o.MaxPack > 0 {
		args = append(args, fmt.Sprintf("--max-input-size=%d", i.o.MaxPack))
	}
	w := &indexPack{cmd: gitCommand(i.ctx, i.o.Dir, args...), reindex: i.Reindex}
	w.cmd.Stderr = &w.words
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	limit := unix.Rlimit{Cur: maxIndexer, Max: maxIndexer}
	if err := unix.Prlimit(w.cmd.Process.Pid, unix.RLIMIT_AS, &limit, nil); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// gitCommand runs git on the mirror, deaf to the configuration of user and system.
func gitCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	fixed := []string{"--git-dir=" + dir, "-c", "core.bigFileThreshold=4m", "-c", "pack.windowMemory=64m", "-c", "pack.threads=1"}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...) //nolint:gosec // no argument is a stranger's
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent",
	}
	return cmd
}

// indexPack feeds a running git index-pack.
type indexPack struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	words   bytes.Buffer
	reindex func()
	closed  bool
}

// Write implements io.Writer.
func (w *indexPack) Write(p []byte) (int, error) {
	n, err := w.in.Write(p)
	if err != nil { // git has given up: its words say why
		err = errors.Join(err, w.Close())
	}
	return n, err
}

// Close waits for git and returns what it had against the pack.
func (w *indexPack) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	_ = w.in.Close()
	err := w.cmd.Wait()
	w.reindex()
	if err != nil {
		return fmt.Errorf("git index-pack: %w: %.200s", err, strings.TrimSpace(w.words.String()))
	}
	return nil
}

// capped is a writer that takes so many bytes and no more.
type capped struct {
	io.WriteCloser
	left int64
}

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, errors.New("the fetch brings more than it may")
	}
	return c.WriteCloser.Write(p)
}

// compact makes many packs one by the git command; without one, a mirror with too
// many is dropped, which is faster than go-git's own repacking.
func (r *Repo) compact(ctx context.Context) error {
	packs, err := filepath.Glob(filepath.Join(r.o.Dir, "objects/pack/*.pack"))
	if err != nil || len(packs) <= maxPacks {
		return err
	}
	if _, err := exec.LookPath("git"); err != nil {
		if len(packs) <= 8*maxPacks {
			return nil
		}
		return fmt.Errorf("%d packs, and no git command to make them one", len(packs))
	}
	if out, err := gitCommand(ctx, r.o.Dir, "repack", "-a", "-d", "-q").CombinedOutput(); err != nil {
		return fmt.Errorf("git repack: %w: %.200s", err, bytes.TrimSpace(out))
	}
	r.disk.Reindex()
	return nil
}

// tree reads a tree object that is not too large to be read.
func (r *Repo) tree(h plumbing.Hash) (*object.Tree, error) {
	size, err := r.disk.EncodedObjectSize(h)
	if err != nil {
		return nil, err
	}
	if size > maxTree {
		return nil, origin.Refuse("tree %s has %d bytes: at most %d are read", h, size, maxTree)
	}
	return r.git.TreeObject(h)
}
