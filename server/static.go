package server

import (
	"context"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/terrane/terrane/server/internal/blobs"
	"github.com/terrane/terrane/tenant"
)

// static serves a file of the release: ETag, ranges and conditions by
// http.ServeContent, compressed if the folder has it so.
func (v *visit) static(ctx context.Context, name string) {
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		v.Header()["Allow"] = []string{"GET, HEAD"}
		v.page(http.StatusMethodNotAllowed, "this is a file: it can be read only")
		return
	}
	content, ok := v.open(ctx, name, false)
	if !ok {
		return
	}
	defer v.close(content)
	http.ServeContent(v, v.r, "", time.Time{}, content)
}

// notFound shows the folder's own page for what it does not have, or ours.
func (v *visit) notFound(ctx context.Context, name string) {
	if name == "" {
		v.page(http.StatusNotFound, "this site has nothing at this path")
		return
	}
	content, ok := v.open(ctx, name, true)
	if !ok {
		return
	}
	defer v.close(content)
	delete(v.Header(), "Etag") // it names the page, not what was asked for
	v.WriteHeader(http.StatusNotFound)
	if v.r.Method != http.MethodHead {
		_, _ = io.Copy(v, content) // a visitor who has left is no error
	}
}

// open opens the representation of a file that the visitor takes, and sets the
// headers that describe it. A page instead of what is missing is never of another type
// than its own. When it cannot, it has answered.
func (v *visit) open(ctx context.Context, name string, missing bool) (io.ReadSeekCloser, bool) {
	v.own = true
	files := v.place.release.files
	h := v.Header()
	file, typ := files[name], contentType(name)
	for _, c := range codings {
		packed, found := files[name+c.suffix]
		if !found {
			continue
		}
		h["Vary"] = []string{"Accept-Encoding"}
		if accepts(v.r.Header["Accept-Encoding"], c.name) {
			file = packed
			h["Content-Encoding"] = []string{c.name}
			if typ == "" {
				typ = "application/octet-stream" // the packed bytes tell nothing
			}
			break
		}
	}
	if file.Size > blobs.MaxKept && !v.holdFile(ctx) {
		return nil, false
	}
	content, err := v.srv.opts.Sites.files.Open(file)
	if err != nil {
		v.note = err.Error()
		v.srv.log.Error("open file", "tenant", v.place.release.id, "host", v.host, "file", name, "err", err)
		v.page(http.StatusInternalServerError, "this edge failed to read the file")
		return nil, false
	}
	if typ != "" {
		h["Content-Type"] = []string{typ}
	}
	h["Etag"] = []string{etag(file.Hash)}
	// ServeContent leaves the length of encoded content to others, but not that of
	// ranges; notFound leaves all of it.
	if v.r.Header["Range"] == nil {
		h["Content-Length"] = []string{strconv.FormatInt(file.Size, 10)}
	}
	own := h["Content-Type"]
	if v.place.release.headers.Set(h, name); missing {
		if delete(h, "Content-Type"); own != nil {
			h["Content-Type"] = own
		}
	}
	v.writeDeadline(file.Size)
	return content, true
}

func (v *visit) close(c io.Closer) {
	if err := c.Close(); err != nil {
		v.srv.log.Error("close file", "request", v.id, "err", err)
	}
}

// etag is strong: equal hashes are equal bytes.
func etag(h tenant.Hash) string { return `"` + h.String()[:32] + `"` }

// coding is a content coding that a folder may hold files in.
type coding struct{ name, suffix string }

// codings are in the order of preference.
//
//nolint:gochecknoglobals // a constant table
var codings = [...]coding{{"br", ".br"}, {"gzip", ".gz"}}

// accepts reports whether Accept-Encoding names the coding, and not with weight 0
// (RFC 9110 12.5.3). A "*" is not taken up: the plain file serves it as well.
func accepts(fields []string, coding string) bool {
	for _, f := range fields {
		for item := range strings.SplitSeq(f, ",") {
			name, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), coding) {
				continue
			}
			_, weight, weighted := strings.Cut(params, "=")
			q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
			return !weighted || err == nil && q > 0
		}
	}
	return false
}

// contentType is the type of a file by its name, empty if the name tells nothing.
func contentType(name string) string {
	return contentTypes[strings.ToLower(path.Ext(name))]
}

// contentTypes are the same at each edge, unlike those of the operating system.
//
//nolint:gochecknoglobals // a constant table
var contentTypes = map[string]string{
	".atom": "application/atom+xml", ".avif": "image/avif", ".bmp": "image/bmp", ".css": "text/css; charset=utf-8",
	".csv": "text/csv; charset=utf-8", ".gif": "image/gif", ".gz": "application/gzip", ".htm": "text/html; charset=utf-8",
	".html": "text/html; charset=utf-8", ".ico": "image/x-icon", ".ics": "text/calendar; charset=utf-8",
	".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
	".jsonld": "application/ld+json", ".map": "application/json", ".md": "text/markdown; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".oga": "audio/ogg",
	".ogg": "audio/ogg", ".ogv": "video/ogg", ".opus": "audio/ogg", ".otf": "font/otf", ".pdf": "application/pdf",
	".png": "image/png", ".rss": "application/rss+xml", ".svg": "image/svg+xml", ".tar": "application/x-tar",
	".tif": "image/tiff", ".tiff": "image/tiff", ".toml": "application/toml", ".ttf": "font/ttf",
	".txt": "text/plain; charset=utf-8", ".wav": "audio/wav", ".webm": "video/webm", ".webmanifest": "application/manifest+json",
	".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2", ".xhtml": "application/xhtml+xml",
	".xml": "text/xml; charset=utf-8", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}
