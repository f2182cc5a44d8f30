//go:build engine_wasmer

package main

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWasmerBuild makes the binary as an operator does, into an empty folder, and runs it
// there: with its library, and without.
func TestWasmerBuild(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("make", "-C", "../..", "build-wasmer", "WASMER_OUT="+dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary := filepath.Join(dir, "terrane")
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := f.DynString(elf.DT_RUNPATH)
	if err != nil || !slices.Equal(paths, []string{"$ORIGIN:$ORIGIN/../lib"}) {
		t.Errorf("the library is looked for in %q, %v", paths, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if out, err := run(binary, "version"); err != nil || !strings.Contains(out, "engines: wazero, wasmer") {
		t.Errorf("%v\n%s", err, out)
	}
	moved := filepath.Join(t.TempDir(), "terrane")
	if out, err := run("cp", binary, moved); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run(moved, "version"); err == nil || !strings.Contains(out, "libwasmer.so") {
		t.Errorf("without its library: %v\n%s", err, out)
	}
}
