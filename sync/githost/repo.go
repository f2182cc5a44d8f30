package githost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	gcTime    = 20 * time.Minute
	gcEvery   = 24 * time.Hour
	maxPacks  = 50      // pushes after which packs are made one
	maxMemory = 1 << 30 // of address space, for one git command
)

// open makes the repository, or repairs what a killed process left in it, once. With
// PerTenant it is called when a tenant's is first asked for.
func (h *Host) open(ctx context.Context, r *repo) error {
	h.opening.Lock()
	defer h.opening.Unlock()
	if r.PerTenant && r.tenant == "" || h.opened[r.dir] != nil {
		return nil
	}
	err := tidy(r.dir)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(r.dir), 0o700) //nolint:gosec // tenantName has checked the name, and it is escaped
	}
	if err == nil {
		err = h.init(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.dir, err)
	}
	h.opened[r.dir] = r
	return nil
}

// init runs git init, which writes some files even to a repository that is there. That
// this fails, as on a full disk, is no reason not to serve the repository.
func (h *Host) init(ctx context.Context, r *repo) error {
	_, err := h.git(ctx, nil, "init", "--quiet", "--bare", "--initial-branch="+r.Branch, "--template=", r.dir)
	if err == nil {
		return nil
	}
	if out, known := h.git(ctx, nil, "-C", r.dir, "rev-parse", "--is-bare-repository"); known == nil && strings.TrimSpace(string(out)) == "true" {
		return nil
	}
	return err
}

// all are the repositories that were asked for since the start.
func (h *Host) all() []*repo {
	h.opening.Lock()
	defer h.opening.Unlock()
	return slices.Collect(maps.Values(h.opened))
}

// tidy removes what a killed process left half-done: locks, quarantined pushes,
// packs that were being written. The lock of the folder is held.
func tidy(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // opened for its names
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		base, draft := path.Base(name), false
		for _, prefix := range []string{"incoming-", "tmp_", ".tmp-"} {
			draft = draft || strings.HasPrefix(base, prefix) && strings.HasPrefix(name, "objects/")
		}
		switch {
		case err != nil:
			return err
		case draft:
			err = root.RemoveAll(name)
		case strings.HasSuffix(base, ".lock"), name == "gc.pid":
			return root.Remove(name)
		case path.Dir(name) == "objects" && len(base) == 2: // objects by hash
			return fs.SkipDir
		default:
			return nil
		}
		if err == nil && d.IsDir() {
			err = fs.SkipDir
		}
		return err
	})
}

// size is what the repository's objects take on disk, and how many packs they are.
func (r *repo) size() (total int64, packs int) {
	_ = fs.WalkDir(os.DirFS(r.dir), "objects", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // a file that is just being removed
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		if path.Ext(name) == ".pack" {
			packs++
		}
		return nil
	})
	return total, packs
}

// maintain compacts repositories from time to time until ctx ends.
func (h *Host) maintain(ctx context.Context) {
	tick := time.NewTicker(gcEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-h.stale:
			h.compact(ctx, r)
		case <-tick.C:
			for _, r := range h.all() {
				h.compact(ctx, r)
			}
		}
	}
}

// wear notes that a push came: many make the repository want maintenance.
func (h *Host) wear(r *repo) {
	if _, packs := r.size(); packs > maxPacks {
		select {
		case h.stale <- r:
		default:
		}
	}
}

func (h *Host) compact(ctx context.Context, r *repo) {
	ctx, cancel := context.WithTimeout(ctx, gcTime)
	defer cancel()
	begun := time.Now()
	if _, err := h.git(ctx, r, "gc", "--quiet", "--prune=1.day.ago"); err != nil {
		if ctx.Err() == nil {
			h.log.Warn("cannot compact a repository", "store", r.Prefix, "err", err)
		}
		return
	}
	h.log.Debug("repository compacted", "store", r.Prefix, "took", time.Since(begun))
}

// command is git on a repository, deaf to the configuration of user and system; r
// may be nil. It and its children die with ctx, and hold the folder's lock.
func (h *Host) command(ctx context.Context, r *repo, args ...string) *exec.Cmd {
	fixed := []string{
		"-c", "core.bigFileThreshold=4m", "-c", "core.fsync=all", "-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m",
		"-c", "pack.windowMemory=64m", "-c", "pack.threads=1", "-c", "gc.autoDetach=false",
	}
	if r != nil {
		fixed = append(fixed, "--git-dir="+r.dir)
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...) //nolint:gosec // names and hashes that were checked
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.ExtraFiles = []*os.File{h.lock.File()}
	return cmd
}

// start starts a command within its bound of memory, which its children inherit.
func start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: maxMemory, Max: maxMemory}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_AS, &limit, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		return errors.Join(err, cmd.Cancel(), cmd.Wait())
	}
	return nil
}

// git runs a command and returns what it printed.
func (h *Host) git(ctx context.Context, r *repo, args ...string) ([]byte, error) {
	return output(h.command(ctx, r, args...))
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("git: %w: %.300s", err, bytes.TrimSpace(words.Bytes()))
	}
	return out.Bytes(), nil
}
