package githost

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrane/terrane/tenant"
)

// Repositories of tenants' own, of stores with Repo.PerTenant.

// TenantURL is where a Host with this folder keeps the repository of a tenant of a store
// with PerTenant. ok is false if there can be none.
func TenantURL(dir, prefix string, id tenant.ID) (at string, ok bool) {
	name, ok := tenantName(prefix, id)
	return fileURL(tenantDir(dir, prefix, name)), ok
}

// fileURL is the URL of a folder, whatever characters its name has.
func fileURL(dir string) string { return (&url.URL{Scheme: "file", Path: dir}).String() }

func tenantDir(dir, prefix, of string) string {
	return filepath.Join(dir, url.PathEscape(name(prefix))+".tenants", url.PathEscape(of)+".git")
}

// tenantName is the name of a tenant below a prefix.
func tenantName(prefix string, id tenant.ID) (string, bool) {
	name, ok := id.Under(prefix)
	same, err := tenant.ParseID(string(id))
	return name, ok && err == nil && same == id && !strings.Contains(name, "/") && !strings.HasSuffix(name, ".git")
}

// find returns the repository with a path, and nil if there can be none.
func (h *Host) find(path string) *repo {
	path = strings.TrimSuffix(path, ".git")
	if r := h.repos[path]; r != nil && !r.PerTenant {
		return r
	}
	store, rest := "", path
	if end := strings.LastIndexByte(path, '/'); end >= 0 {
		store, rest = path[:end], path[end+1:]
	}
	r := h.repos[store]
	if r == nil || !r.PerTenant {
		return nil
	}
	one, ok := tenantName(r.Prefix, tenant.ID(r.Prefix+rest))
	if !ok {
		return nil
	}
	own := *r
	own.name, own.dir, own.tenant = path, tenantDir(h.o.Dir, r.Prefix, one), one
	return &own
}

// reads reports whether the pusher may read a repository.
func (p *Pusher) reads(r *repo) bool { return r.tenant == "" || p.ReadsOnly() || p.May(r.tenant) }

// writes reports whether the pusher may push to a repository at all.
func (p *Pusher) writes(r *repo) bool { return !p.ReadsOnly() && (r.tenant == "" || p.May(r.tenant)) }

// finds reports whether a repository is there, or is made for the pusher. Another's
// and none look the same to those who may not read it.
func (p *Pusher) finds(r *repo, service string) bool {
	switch {
	case !p.reads(r):
		return false
	case r.tenant == "", service == receivePack && p.writes(r), slices.Contains(p.folders, r.tenant):
		return true
	}
	_, err := os.Stat(r.dir) //nolint:gosec // tenantName has checked the name, and it is escaped
	return err == nil
}
