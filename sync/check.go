package sync

import (
	"fmt"
	"strings"

	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/sync/internal/gitwire"
	"github.com/terrane/terrane/tenant"
)

// maxDepth bounds Store.Depth.
const maxDepth = 8

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of the
// configuration, such as "store[0].prefix".
func (o Options) Check() error {
	var f fault.List
	if len(o.Stores) == 0 {
		f.Add("store", "want at least one [[store]]: where tenants' folders come from")
	}
	for i := range o.Stores {
		key := fmt.Sprintf("store[%d]", i)
		o.Stores[i].check(&f, key)
		for j, b := range o.Stores[:i] {
			if p, q := o.Stores[i].Prefix, b.Prefix; p != "" && q != "" && (strings.HasPrefix(p, q) || strings.HasPrefix(q, p)) {
				f.Add(key+".prefix", "%q overlaps the prefix %q of store[%d]: a path must lead to one store", p, q, j)
			}
		}
	}
	return f.Err()
}

func (s *Store) check(f *fault.List, key string) {
	s.checkPrefix(f, key)
	if s.Depth < 0 || s.Depth > maxDepth {
		f.Add(key+".depth", "%d: want 1 to %d", s.Depth, maxDepth)
	}
	if s.Poll < 0 {
		f.Add(key+".poll", "%v: want 0 or more", s.Poll)
	}
	kinds := 0
	for _, set := range []bool{s.Folder != nil, s.Git != nil, s.GitTenant != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		f.Add(key+".kind", "want exactly one of folder, git and git-tenant")
	case s.Folder != nil && s.Folder.Path == "":
		f.Add(key+".path", "want the folder that holds the tenants' folders")
	case s.Git != nil:
		if err := gitwire.CheckURL(s.Git.URL); err != nil {
			f.AddErr(key+".url", err)
		}
	}
}

func (s *Store) checkPrefix(f *fault.List, key string) {
	err := tenant.CheckPrefix(s.Prefix, s.GitTenant != nil)
	switch {
	case err != nil && s.GitTenant != nil:
		f.Add(key+".prefix", "%q: want the start of the repositories that may be named, such as \"git@git.example.net:\" or \"https://git.example.net/tenants/\"", s.Prefix)
	case err != nil:
		f.Add(key+".prefix", "%q: want the start of the TXT paths that lead here, such as \"/git/\"", s.Prefix)
	case s.Prefix == tenant.AnyHTTPS && s.GitTenant.TokenFile != "":
		f.Add(key+".token_file", "it would be sent to any host that a TXT record names: want a prefix with the host that it is for, such as \"https://git.example.net/\"")
	}
}
