package tenant

import "fmt"

// StoreKind is a way to deploy.
type StoreKind string

// The kinds of stores.
const (
	FolderStore    StoreKind = "folder"     // a directory with a folder per tenant
	GitStore       StoreKind = "git"        // one repository with a folder per tenant
	GitTenantStore StoreKind = "git-tenant" // a repository per tenant, whose URL is the ID
)

// UnmarshalText implements encoding.TextUnmarshaler. It takes the names of kinds.
func (k *StoreKind) UnmarshalText(text []byte) error {
	switch kind := StoreKind(text); kind {
	case FolderStore, GitStore, GitTenantStore:
		*k = kind
		return nil
	}
	return fmt.Errorf("%q is no kind of store: want %q, %q or %q", text, FolderStore, GitStore, GitTenantStore)
}
