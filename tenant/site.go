package tenant

import (
	"path"
	"strings"
)

// Site answers which file or module of a Snapshot a path leads to. It is
// immutable and safe for concurrent use.
type Site struct {
	files  map[string]File
	routes []Route
}

// NewSite indexes the snapshot. It keeps the snapshot's maps; nobody may write to them.
func NewSite(s *Snapshot) *Site { return &Site{files: s.Files, routes: s.Manifest.Routes} }

// TargetKind says what a path leads to.
type TargetKind uint8

// The kinds of Target.
const (
	NotFound TargetKind = iota // File is 404.html if the folder has one, else empty
	Static                     // File is served as it is
	Module                     // File is a .wasm to run
	Redirect                   // the visitor is sent to the path with "/" added
)

// Target is where a path leads.
type Target struct {
	Kind TargetKind
	File string // relative path in the Snapshot
	Info string // the path's rest behind a module's name: "/rest" of "/hello.wasm/rest"
	// Fallback says that the folder has nothing for this path in particular: File is the module
	// that answers every path which leads nowhere else.
	Fallback bool
}

const (
	moduleSuffix = ".wasm"
	indexModule  = "index.wasm"
	indexPage    = "index.html"
	missPage     = "404.html"
)

// Resolve finds the target of an absolute, percent-decoded URL path. The order
// is: a file of that name, a folder's index.html, the manifest's routes, a
// module named in the path, index.wasm, 404.html. Files that Hidden names are
// never Static. A path with an empty, "." or ".." element leads nowhere.
func (s *Site) Resolve(urlPath string) Target {
	rel, ok := strings.CutPrefix(urlPath, "/")
	if !ok || (rel != "" && path.Clean(urlPath) != strings.TrimSuffix(urlPath, "/")) {
		return s.miss()
	}
	if t, ok := s.static(rel); ok {
		return t
	}
	for _, r := range s.routes {
		if r.matches(urlPath) {
			return Target{Kind: Module, File: r.Module}
		}
	}
	if t, ok := s.module(rel); ok {
		return t
	}
	if _, ok := s.files[indexModule]; ok {
		return Target{Kind: Module, File: indexModule, Fallback: rel != ""}
	}
	return s.miss()
}

func (s *Site) static(rel string) (Target, bool) {
	if rel == "" || strings.HasSuffix(rel, "/") {
		index := rel + indexPage
		_, ok := s.files[index]
		return Target{Kind: Static, File: index}, ok && !Hidden(index)
	}
	if Hidden(rel) {
		return Target{}, false
	}
	if _, ok := s.files[rel]; ok {
		return Target{Kind: Static, File: rel}, true
	}
	_, ok := s.files[rel+"/"+indexPage]
	return Target{Kind: Redirect}, ok
}

// module finds "a/hello.wasm" for "a/hello.wasm", "a/hello.wasm/rest" and "a/hello".
func (s *Site) module(rel string) (Target, bool) {
	if f := rel + moduleSuffix; s.isModule(f) {
		return Target{Kind: Module, File: f}, true
	}
	for end := 0; end < len(rel); {
		next := strings.IndexByte(rel[end:], '/')
		if next < 0 {
			end = len(rel)
		} else {
			end += next
		}
		if f := rel[:end]; s.isModule(f) {
			return Target{Kind: Module, File: f, Info: rel[end:]}, true
		}
		end++
	}
	return Target{}, false
}

func (s *Site) isModule(f string) bool {
	if !strings.HasSuffix(f, moduleSuffix) || dotted(f) {
		return false
	}
	_, ok := s.files[f]
	return ok
}

func (s *Site) miss() Target {
	if _, ok := s.files[missPage]; ok {
		return Target{File: missPage}
	}
	return Target{}
}

func (r Route) matches(urlPath string) bool {
	if below, ok := strings.CutSuffix(r.Path, "*"); ok {
		return strings.HasPrefix(urlPath, below)
	}
	return urlPath == r.Path
}

// Hidden reports whether a file of a folder is for terrane and not for visitors:
// modules, files and folders that start with a dot, the manifest, _redirects and
// _headers.
func Hidden(rel string) bool {
	switch rel {
	case ManifestName, "_redirects", "_headers":
		return true
	}
	return strings.HasSuffix(rel, moduleSuffix) || dotted(rel)
}

func dotted(rel string) bool { return strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.") }

// Modules lists the .wasm files of the snapshot, in no order.
func (s *Snapshot) Modules() []string {
	var names []string
	for name := range s.Files {
		if strings.HasSuffix(name, moduleSuffix) && !dotted(name) {
			names = append(names, name)
		}
	}
	return names
}
