package tenant

import (
	"net/url"
	"path"
	"strings"
)

// Site answers which file or module of a Snapshot a path leads to. It is
// immutable and safe for concurrent use.
type Site struct {
	files  map[string]File
	routes []route
}

// route is a Route whose path is decoded.
type route struct {
	path   string // of a route that ends in "*": what stands before it
	below  bool   // it ended in "*"
	module string
}

// NewSite indexes the snapshot. It keeps the snapshot's maps; nobody may write to them.
func NewSite(s *Snapshot) *Site {
	site := &Site{files: s.Files}
	for _, r := range s.Manifest.Routes {
		p, below := strings.CutSuffix(r.Path, "*")
		if decoded, err := url.PathUnescape(p); err == nil {
			p = decoded
		}
		site.routes = append(site.routes, route{p, below, r.Module})
	}
	return site
}

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
	Info string // the path's rest behind what names the module: "/rest" of "/hello.wasm/rest", all of it for index.wasm
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
// never Static. An empty or a "." element is one that no file has, so that a module
// alone answers such a path; one with ".." leads nowhere.
func (s *Site) Resolve(urlPath string) Target {
	rel, ok := strings.CutPrefix(urlPath, "/")
	if !ok || strings.Contains(urlPath+"/", "/../") {
		return s.miss()
	}
	if t, ok := s.static(rel); ok {
		return t
	}
	if r := s.route(urlPath); r != nil {
		return Target{Kind: Module, File: r.module, Info: r.info(urlPath)}
	}
	if t, ok := s.module(rel); ok {
		return t
	}
	if _, ok := s.files[indexModule]; ok {
		return Target{Kind: Module, File: indexModule, Info: urlPath, Fallback: rel != ""}
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

// route is the first route that matches, or else the one of the path with one slash less or
// more at its end; nil if there is none.
func (s *Site) route(urlPath string) *route {
	var other *route
	for i := range s.routes {
		switch r := &s.routes[i]; {
		case r.path == urlPath, r.below && strings.HasPrefix(urlPath, r.path):
			return r
		case other == nil && !r.below && r.path+"/" == urlPath, other == nil && !r.below && r.path == urlPath+"/":
			other = r
		}
	}
	return other
}

// info is the path's rest behind the part that names the route's module: "/x" of "/api/x" for
// the route "/api/*".
func (r *route) info(urlPath string) string {
	if r.below {
		return urlPath[max(0, strings.LastIndexByte(r.path, '/')):]
	}
	return ""
}

// Hidden reports whether a file of a folder is for terrane and not for visitors:
// modules, files and folders that start with a dot, the manifest, _redirects and
// _headers. Copies that editors and transfers leave of them are hidden too.
func Hidden(rel string) bool {
	name := strings.ToLower(rel[strings.LastIndexByte(rel, '/')+1:])
	if strings.HasSuffix(name, moduleSuffix) || strings.Contains(name, moduleSuffix) && !aboutModule(name) {
		return true
	}
	name = strings.TrimLeft(name, "#~")
	for _, own := range []string{ManifestName, "_redirects", "_headers"} {
		if rest, ok := strings.CutPrefix(name, own); ok && (rest == "" || !isAlphanumeric(rest[0])) {
			return true
		}
	}
	return dotted(rel)
}

// aboutModule reports whether a file whose lower-case name has ".wasm" in it is a text or a
// picture, and not the copy of a module: "hello.wasm.map", but neither "hello.wasm~" nor
// "hello.wasm.bak".
func aboutModule(name string) bool {
	switch path.Ext(name) {
	case ".asc", ".css", ".gif", ".htm", ".html", ".jpeg", ".jpg", ".js", ".json", ".map", ".md", ".mjs", ".pdf", ".png", ".sha256", ".sig", ".svg",
		".ts", ".txt", ".wat", ".webp", ".wit", ".xml":
		return true
	}
	return false
}

func isAlphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

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
