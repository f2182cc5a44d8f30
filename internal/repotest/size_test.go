package repotest

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// maxPackage bounds a package, tests aside: beyond it a reader no longer has it in mind.
const maxPackage = 3000

// larger has the packages that may have more lines, with how many.
var larger = map[string]int{"sync": 3300}

func TestPackagesAreSmall(t *testing.T) {
	lines := map[string]int{}
	eachFile(t, ".go", func(name string, content []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			lines[filepath.ToSlash(filepath.Dir(name))] += bytes.Count(content, []byte("\n"))
		}
	})
	for dir, n := range lines {
		limit := max(maxPackage, larger[dir])
		if n > limit {
			t.Errorf("package %s has %d lines, and may have %d: move a part of it to a package below it", dir, n, limit)
		}
		if larger[dir] > 0 && n <= maxPackage {
			t.Errorf("package %s has %d lines: it is no exception any more", dir, n)
		}
	}
}
