package repotest

import (
	"path"
	"regexp"
	"testing"
)

// TestFilesAreNamedByContent: a name such as misc or util says nothing of what is inside.
func TestFilesAreNamedByContent(t *testing.T) {
	nothing := regexp.MustCompile(`^(misc|utils?|helpers?|common)$|(^|_)(misc|utils?|helpers?)(_[a-z]+)*\.go$`)
	eachFile(t, ".go", func(name string, _ []byte) {
		if nothing.MatchString(path.Base(name)) || nothing.MatchString(path.Base(path.Dir(name))) {
			t.Errorf("%s: want a name that says what is inside", name)
		}
	})
}
