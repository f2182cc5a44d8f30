// Package contents decides what a tenant's folder may contain: names, sizes and counts of its
// files, and the manifest. Whatever is wrong is a refusal (origin.ErrRefused) in words for the
// tenant. It reads no files.
package contents

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	// MaxPath is the most bytes of a file's path in its folder.
	MaxPath = 512

	maxName = 255 // bytes of one element of a path
)

// Check applies every bound that needs no content. The error is a refusal.
func Check(files []origin.Entry, most int, limits *tenant.Limits) error {
	if len(files) > most {
		return origin.Refuse("%d files: at most %d are taken", len(files), most)
	}
	var total int64
	var largest origin.Entry
	folded := make(map[string]string, len(files))
	for _, f := range files {
		if err := checkName(f.Path); err != nil {
			return err
		}
		lower := strings.ToLower(f.Path)
		if other, ok := folded[lower]; ok {
			return origin.Refuse("%q and %q differ in case only: rename one", other, f.Path)
		}
		folded[lower] = f.Path
		if limit := limits.ModuleSize; limit > 0 && f.Size > limit && strings.HasSuffix(f.Path, ".wasm") {
			return origin.Refuse("%q has %d bytes: a module has at most %d", f.Path, f.Size, limit)
		}
		if f.Path == tenant.ManifestName && f.Size > maxManifest {
			return origin.Refuse("%q has %d bytes: at most %d are taken", f.Path, f.Size, maxManifest)
		}
		total += f.Size
		if f.Size >= largest.Size {
			largest = f
		}
	}
	if limits.SiteSize > 0 && total > limits.SiteSize {
		return origin.Refuse("the files have more than %d bytes, %q alone has %d: remove some", limits.SiteSize, largest.Path, largest.Size)
	}
	return nil
}

// checkName refuses names that could mean something else to somebody.
func checkName(name string) error {
	switch {
	case len(name) > MaxPath:
		return origin.Refuse("%.80q...: a path has at most %d bytes", name, MaxPath)
	case !utf8.ValidString(name):
		return origin.Refuse("%q: the name is not UTF-8: rename it", name)
	case name == "" || path.Clean(name) != name || name[0] == '/' || strings.HasPrefix(name, "../"):
		return origin.Refuse("%q is no name for a file", name)
	}
	for _, r := range name {
		if r == '\\' || !unicode.IsPrint(r) {
			return origin.Refuse("%q: the name has the character %q: rename it", name, r)
		}
	}
	for elem := range strings.SplitSeq(name, "/") {
		if len(elem) > maxName {
			return origin.Refuse("%.80q...: a name has at most %d bytes", elem, maxName)
		}
	}
	return nil
}
