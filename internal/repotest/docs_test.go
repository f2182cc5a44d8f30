package repotest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLinksLead follows the relative links of every Markdown page.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	eachFile(t, ".md", func(name string, content []byte) {
		for _, m := range link.FindAllStringSubmatch(string(content), -1) {
			path := filepath.Join(root, filepath.Dir(name), m[1])
			if strings.HasPrefix(m[1], "/") {
				t.Errorf("%s: link to %s: want a relative one, which works in a clone too", name, m[1])
			} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: link to %s, which does not exist", name, m[1])
			}
		}
	})
}
