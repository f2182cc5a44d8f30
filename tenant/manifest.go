package tenant

import "slices"

// ManifestName is the file of a tenant's folder that holds the Manifest.
const ManifestName = "terrane.toml"

// Manifest is what a tenant says of its own folder, all of it optional.
// The decoder lives with the stores, in package sync.
type Manifest struct {
	// Domains that may name this folder. Nil: any domain whose DNS does.
	Domains []Pattern
	Env     map[string]string // hostcall_env_get, WASI environ
	Limits  Limits            // may only lower the operator's
	Fetch   Fetch
	Routes  []Route
	Crons   []Cron
	// Subscriptions have the messages that run a request against the folder.
	Subscriptions []Subscription
	// Regions are those that may run the folder's modules and show its files; edges
	// elsewhere forward to them, to the first that answers. Nil: all.
	Regions []string
	State   State
}

// State is what the tenant asks of its key-value state.
type State struct {
	Strict bool // reads are linearizable, and fail where no majority is in reach
}

// Fetch is the tenant's own bound on what its modules may reach.
type Fetch struct {
	Allow []string // host patterns; nil: whatever the operator allows
}

// Route sends the paths that match to a module, before modules are looked for
// by name.
type Route struct {
	Path   string // "/api/*" matches all below /api/, "/tick" only itself
	Module string // relative path of a .wasm file in the folder
}

// Cron runs a request against the folder on a schedule.
type Cron struct {
	Schedule string // five fields, as crontab(5)
	Path     string
}

// Subscription runs a request against the folder for each message whose subject
// matches.
type Subscription struct {
	Subject Subject // with wildcards
	Path    string
}

// At reports whether edges of a region may serve the folder themselves.
func (m *Manifest) At(region string) bool {
	return len(m.Regions) == 0 || slices.Contains(m.Regions, region)
}

// Consents reports whether the folder's owner lets h name it: its domains list
// has it, or there is no list and none is required.
func (m *Manifest) Consents(h Host, required bool) bool {
	if m.Domains == nil {
		return !required
	}
	return slices.ContainsFunc(m.Domains, func(p Pattern) bool { return p.Matches(h) })
}
