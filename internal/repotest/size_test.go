package repotest

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// maxPackage bounds a package, tests aside: beyond it a reader no longer has it in mind.
const maxPackage = 3000

func TestPackagesAreSmall(t *testing.T) {
	lines := map[string]int{}
	eachFile(t, ".go", func(name string, content []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			lines[filepath.ToSlash(filepath.Dir(name))] += bytes.Count(content, []byte("\n"))
		}
	})
	for dir, n := range lines {
		if n > maxPackage {
			t.Errorf("package %s has %d lines, and may have %d: move a part of it to a package below it", dir, n, maxPackage)
		}
	}
}
