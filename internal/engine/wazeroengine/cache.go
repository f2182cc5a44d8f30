package wazeroengine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/cpu"

	"github.com/terrane/terrane/internal/engine/codecache"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// cache keeps modules made ready on disk: of each its ready, with the shell as the module, and
// the module's machine code where wazero looks for the shell's. wazero finds code by the
// digest of a module's binary, after it has parsed and validated that, which for a shell
// takes no time.
//
// Were the code gone when wazero looks for it, it would compile the shell. Therefore
// prepared modules have a mark, which a shell has not: see Engine.start.
type cache struct {
	*codecache.Cache
	config  wazero.RuntimeConfig // of runtimes that compile
	runtime wazero.Runtime       // of modules that are on disk
	files   wazero.CompilationCache
	// wazero shows a module that it found on disk to others before it is complete: equal ones are
	// loaded one after the other, which the locks are for, by mark.
	loading [64]sync.Mutex
}

func openCache(ctx context.Context, dir string, config wazero.RuntimeConfig) (*cache, error) {
	entries, err := codecache.Open(dir, build())
	if err != nil {
		return nil, err
	}
	files, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	r := wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(files))
	return &cache{Cache: entries, config: config, runtime: r, files: files}, nil
}

// build names the compiler, the processor and what is kept.
func build() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				version = d.Version + d.Sum
			}
		}
	}
	return fmt.Sprintf("%s %s %s %s %+v %+v %+v", version, runtime.GOOS, runtime.GOARCH, runtime.Version(), cpu.X86, cpu.ARM64, ready{})
}

// ready is what is known of a module that was prepared. In the cache its Wasm is the shell.
type ready struct {
	prepare.Result

	Entry     string
	HasMemory bool
}

// markOf is the mark of the module with this key.
func markOf(key codecache.Key) uint64 { return binary.BigEndian.Uint64(key[:]) | 1 } // 0 is none

// encode writes the length of the JSON, the JSON, and the shell.
func (r ready) encode() ([]byte, error) {
	shell := r.Wasm
	r.Wasm = nil
	head, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(nil, uint64(len(head)))
	return append(append(out, head...), shell...), nil
}

var errHeader = errors.New("the header of an entry cannot be read")

func decodeReady(b []byte) (*ready, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, errHeader
	}
	r := &ready{}
	if err := json.Unmarshal(b[n:n+int(size)], r); err != nil {
		return nil, errors.Join(errHeader, err)
	}
	r.Wasm = b[n+int(size):]
	return r, nil
}

// load makes a module of the shell and of the code that wazero finds for it, if it does.
func (c *cache) load(ctx context.Context, shell []byte, mark uint64) (wazero.CompiledModule, error) {
	mu := &c.loading[mark>>1%uint64(len(c.loading))]
	mu.Lock()
	defer mu.Unlock()
	return c.runtime.CompileModule(ctx, shell)
}

// fill compiles a module, in a directory of its own, and keeps it.
func (c *cache) fill(ctx context.Context, key codecache.Key, r *ready) error {
	work, err := c.Work()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // if it fails, a later process finds what is left
	shell := *r
	if shell.Wasm, err = prepare.Shell(r.Wasm, key[:]); err != nil {
		return err
	}
	// What wazero makes of the shell is of no use, but for its name.
	files, err := c.compileIn(ctx, work, shell.Wasm, r.Wasm)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(work, files[0])
	if err != nil {
		return err
	}
	header, err := shell.encode()
	if err != nil {
		return err
	}
	return c.Store(key, codecache.Entry{Header: header, Code: name}, files[1])
}

// compileIn returns the files of code that wazero makes of the modules in an empty directory.
func (c *cache) compileIn(ctx context.Context, dir string, modules ...[]byte) (files []string, err error) {
	w, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	r := wazero.NewRuntimeWithConfig(ctx, c.config.WithCompilationCache(w))
	defer func() { err = errors.Join(err, r.Close(ctx), w.Close(ctx)) }()
	for _, wasm := range modules {
		if _, err := r.CompileModule(ctx, wasm); err != nil {
			return nil, err
		}
		all, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
		all = slices.DeleteFunc(all, func(f string) bool { return slices.Contains(files, f) })
		if len(all) != 1 {
			return nil, fmt.Errorf("%d files of compiled code, want 1", len(all))
		}
		files = append(files, all[0])
	}
	return files, nil
}
