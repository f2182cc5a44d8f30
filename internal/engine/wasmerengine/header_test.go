//go:build engine_wasmer

package wasmerengine_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDeclarations compiles shim.c with the headers of wasmer-go in the place of our own types:
// a declaration that differs is an error of the compiler.
func TestDeclarations(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/wasmerio/wasmer-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	include := strings.TrimSpace(string(dir)) + "/wasmer/packaged/include"
	out, err := exec.CommandContext(t.Context(), "gcc", "-std=gnu11", "-fsyntax-only", "-I", include, "-include", "wasmer.h", "shim.c").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
