package wazeroengine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/cpu"
)

// cache keeps compiled code on disk, in the directory that wazero reads it from. Beside
// it an index says, for each module, which file is its code, and the file's digest:
// wazero itself would run a damaged file, or refuse the module for it.
//
// A digest guards against damage and not against malice: who can write to the directory
// runs code in this process.
type cache struct {
	dir    string
	build  string // what code depends on beside the module
	config wazero.RuntimeConfig
	log    *slog.Logger
	wazero wazero.CompilationCache
}

const (
	indexDir = "index"
	// keepUnused is how long code is kept for a module that nobody compiles.
	keepUnused = 30 * 24 * time.Hour
)

func openCache(dir string, config wazero.RuntimeConfig, log *slog.Logger) (*cache, error) {
	c := &cache{dir: dir, build: build(), config: config, log: log}
	if err := os.MkdirAll(filepath.Join(dir, indexDir), 0o700); err != nil {
		return nil, err
	}
	if err := c.prune(time.Now().Add(-keepUnused)); err != nil {
		return nil, err
	}
	var err error
	c.wazero, err = wazero.NewCompilationCacheWithDir(dir)
	return c, err
}

// build names the compiler and the processor.
func build() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				version = d.Version + d.Sum
			}
		}
	}
	return fmt.Sprint(version, runtime.GOOS, runtime.GOARCH, runtime.Version(), cpu.X86, cpu.ARM64)
}

// prime makes sure that there is code for the module on disk, if it is valid; compile
// is called to make way for a compilation, and returns what ends it.
func (c *cache) prime(ctx context.Context, wasm []byte, compile func() (done func(), err error)) error {
	key := sha256.New()
	key.Write([]byte(c.build))
	key.Write(wasm)
	index := filepath.Join(c.dir, indexDir, hex.EncodeToString(key.Sum(nil)))
	if err := c.verify(index); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("compiled code discarded", "index", index, "err", err)
		}
		done, err := compile()
		if err != nil {
			return err
		}
		defer done()
		if err := c.fill(ctx, index, wasm); err != nil {
			c.log.Warn("compiled code not kept", "err", err) // or the module is invalid, which wazero says again
		}
	}
	return nil
}

// verify checks the file that index names.
func (c *cache) verify(index string) error {
	digest, name, err := readIndex(index)
	if err != nil {
		return err
	}
	code, err := os.Open(filepath.Join(c.dir, name)) //nolint:gosec // readIndex lets local names pass only
	if err != nil {
		return err
	}
	defer code.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, code); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != digest {
		return fmt.Errorf("%s is damaged", name)
	}
	now := time.Now()
	return os.Chtimes(index, now, now)
}

func readIndex(index string) (digest, name string, err error) {
	line, err := os.ReadFile(index) //nolint:gosec // its name is a digest
	if err != nil {
		return "", "", err
	}
	digest, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
	if !ok || !filepath.IsLocal(name) {
		return "", "", fmt.Errorf("%s is damaged", filepath.Base(index))
	}
	return digest, name, nil
}

// fill compiles a module in a runtime and a directory of its own, so that the one file
// that appears there is its code, and then moves it in.
func (c *cache) fill(ctx context.Context, index string, wasm []byte) error {
	work, err := os.MkdirTemp(c.dir, "work-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // prune finds what is left
	if err := c.compileIn(ctx, work, wasm); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(work, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		return errors.Join(err, fmt.Errorf("%d files of compiled code, want 1", len(files)))
	}
	name, err := filepath.Rel(work, files[0])
	if err != nil {
		return err
	}
	code, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	sum := sha256.Sum256(code)
	entry := filepath.Join(work, indexDir)
	return errors.Join(
		os.WriteFile(entry, []byte(hex.EncodeToString(sum[:])+" "+name+"\n"), 0o600), //nolint:gosec // names that this package or wazero has made
		os.MkdirAll(filepath.Join(c.dir, filepath.Dir(name)), 0o700),
		os.Rename(files[0], filepath.Join(c.dir, name)),
		os.Rename(entry, index),
	)
}

func (c *cache) compileIn(ctx context.Context, work string, wasm []byte) error {
	w, err := wazero.NewCompilationCacheWithDir(work)
	if err != nil {
		return err
	}
	r := wazero.NewRuntimeWithConfig(ctx, c.config.WithCompilationCache(w))
	_, err = r.CompileModule(ctx, wasm)
	return errors.Join(err, r.Close(ctx), w.Close(ctx))
}

// prune removes what no index names, indices that nobody has used since then, and what
// an earlier process left unfinished.
func (c *cache) prune(since time.Time) error {
	keep := map[string]bool{}
	indices, _ := filepath.Glob(filepath.Join(c.dir, indexDir, "*"))
	for _, index := range indices {
		info, err := os.Stat(index)
		_, name, bad := readIndex(index)
		if err == nil && bad == nil && info.ModTime().After(since) {
			keep[name] = true
		} else if err := os.Remove(index); err != nil {
			return err
		}
	}
	code, _ := filepath.Glob(filepath.Join(c.dir, "wazero-*", "*"))
	unfinished, _ := filepath.Glob(filepath.Join(c.dir, "work-*"))
	for _, f := range append(code, unfinished...) {
		if name, err := filepath.Rel(c.dir, f); err == nil && keep[name] {
			continue
		}
		if err := os.RemoveAll(f); err != nil {
			return err
		}
	}
	return nil
}
