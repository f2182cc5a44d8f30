//go:build engine_wasmer

package wasmerengine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"

	"golang.org/x/sys/cpu"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/codecache"
)

func openCache(dir string) (*codecache.Cache, error) {
	if dir == "" {
		return nil, nil
	}
	library, err := libraryDigest()
	if err != nil {
		return nil, fmt.Errorf("whose code it is that would be kept: %w", err)
	}
	c, err := codecache.Open(dir, fmt.Sprint(library, runtime.GOARCH, cpu.X86, cpu.ARM64))
	if err != nil {
		return nil, fmt.Errorf("compiled code in %s: %w", dir, err)
	}
	return c, nil
}

// libraryDigest is the SHA-256 of the libwasmer that is loaded, which is no part of this program.
func libraryDigest() (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	name := regexp.MustCompile(`(?m) (/.*/libwasmer\.so)$`).FindSubmatch(maps)
	if name == nil {
		return "", errors.New("libwasmer.so is not among the files that are mapped")
	}
	f, err := os.Open(string(name[1])) //nolint:gosec // the kernel names it
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// compile makes the code of the prepared module, by what is on disk if it can.
func (m *module) compile(ctx context.Context, wasm []byte) error {
	e := m.engine
	var key codecache.Key
	if e.cache != nil {
		key = e.cache.Key(wasm)
		kept, err := e.cache.Load(key)
		if err == nil {
			err = m.adopt(kept.Header)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			e.log.Warn("compiled code discarded", "err", err)
		}
	}
	select {
	case e.compiles <- struct{}{}:
		defer func() { <-e.compiles }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e.compiled.Inc()
	var err error
	if m.code, err = m.newCode(wasm, false); err != nil {
		return engine.Refuse(err)
	}
	if e.cache != nil {
		err := errNoCode
		m.code.lend(func(compiled []byte) { err = e.cache.Store(key, codecache.Entry{Header: compiled}, "") })
		if err != nil {
			e.log.Warn("compiled code not kept", "err", err)
		}
	}
	return nil
}

// adopt makes compiled code, which code.lend has given, the module's newest.
func (m *module) adopt(compiled []byte) error {
	c, err := m.newCode(compiled, true)
	if err == nil {
		m.code = c
	}
	return err
}

var errNoCode = errors.New("libwasmer does not give the code")
