package toolchain

import (
	"context"
	"crypto/sha256"
	_ "embed" // for buildScript
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/dirlock"
)

//go:embed javascript.mjs
var javaScript []byte

//go:embed command.mjs
var command []byte

// packages are what the script needs.
func packages() []string {
	return []string{"@bytecodealliance/componentize-js@0.23.0", "@bytecodealliance/jco@1.35.0"}
}

// Hello is a program that answers hello and the path. Tests that need no other program take
// this one, so that it is built once.
const Hello = `addEventListener('fetch', (e) => e.respondWith(new Response('hello ' + new URL(e.request.url).pathname)));`

// patience is how long the tools may take; a build takes 30 seconds, the first one two minutes.
const patience = 10 * time.Minute

// JavaScript makes a component of a JavaScript module by componentize-js (StarlingMonkey). It exports
// wasi:http/incoming-handler, which calls the source's listeners of fetch events.
func JavaScript(t testing.TB, source string) []byte {
	t.Helper()
	return build(t, javaScript, []byte(source))
}

// Command makes a component of a core module for WASI preview 1 that exports _start, with the
// adapter for commands. It exports wasi:cli/run.
func Command(t testing.TB, core []byte) []byte {
	t.Helper()
	return build(t, command, core)
}

// build runs a script of Node.js, which makes a component of what is in the file source.
func build(t testing.TB, script, source []byte) []byte {
	t.Helper()
	name := filepath.Join(digest(packages()...), digest(string(script), string(source))+".wasm")
	return cached(t, name, func(dir string) string {
		install(t, dir)
		for name, text := range map[string][]byte{"build.mjs": script, "source": source} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if text, err := run(t, dir, "node", "build.mjs", "source", "new.wasm"); err != nil {
			t.Fatalf("build the component: %v\n%s", err, text)
		}
		return filepath.Join(dir, "new.wasm")
	})
}

// cached is the component of a name in the cache. If it is not there, build makes it, with the folder
// of the name to itself, and returns the path of its file.
func cached(t testing.TB, name string, build func(dir string) string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a component, which -short leaves out")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	out := filepath.Join(cache, "terrane-test", name)
	if wasm, err := os.ReadFile(out); err == nil { //nolint:gosec // a path of ours
		return wasm
	}
	dir := filepath.Dir(out)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	defer lock(t, dir)()
	if wasm, err := os.ReadFile(out); err == nil { //nolint:gosec // a path of ours
		return wasm
	}
	wasm, err := os.ReadFile(build(dir))
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, "next")
	if err := errors.Join(os.WriteFile(next, wasm, 0o600), os.Rename(next, out)); err != nil { //nolint:gosec // a path of ours
		t.Fatal(err)
	}
	return wasm
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// lock waits until no other test uses the directory.
func lock(t testing.TB, dir string) (unlock func()) {
	t.Helper()
	l, err := dirlock.Wait(t.Context(), dir, patience)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// install installs the packages, unless they are there. The test is skipped if that fails, as it does without a network.
func install(t testing.TB, dir string) {
	t.Helper()
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return
	}
	args := append([]string{"install", "--no-audit", "--no-fund", "--no-save", "--save-exact", "--prefix", "."}, packages()...)
	if text, err := run(t, dir, "npm", args...); err != nil {
		t.Skipf("npm install %v: %v: %.200s", packages(), err, text)
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the callers' constants
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	return string(text), err
}
