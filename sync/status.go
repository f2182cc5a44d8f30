package sync

import (
	"cmp"
	"slices"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

// Status is how far the edge is in step with its stores.
type Status struct {
	Stores  []StoreStatus  `json:"stores"`
	Tenants []TenantStatus `json:"tenants"` // by ID
}

// StoreStatus is the state of one store.
type StoreStatus struct {
	Prefix    string           `json:"prefix"`
	Kind      tenant.StoreKind `json:"kind"`
	Origin    string           `json:"origin"` // without credentials
	Reachable bool             `json:"reachable"`
	Head      string           `json:"head,omitempty"`  // what the origin was last seen at
	Pending   int              `json:"pending"`         // tenants whose release is being taken or published, or is tried again
	Error     string           `json:"error,omitempty"` // of the last look
	// HeadSince is when the look began that found Head.
	HeadSince time.Time `json:"head_since,omitzero"`
	// Refused is why the origin's newest commit is not taken; Head is the one that was.
	Refused string `json:"refused,omitempty"`
	// NotTaken has the commits of the branch and of previews that are refused, and why.
	NotTaken    map[tenant.Revision]string `json:"not_taken,omitempty"`
	LastLook    time.Time                  `json:"last_look,omitzero"`
	LastSuccess time.Time                  `json:"last_success,omitzero"`
	Mirrored    bool                       `json:"mirrored"`
	Odd         map[string]string          `json:"odd,omitempty"` // what lies in the place of tenants' folders and is none, and why
}

// TenantStatus is the state of one tenant. Live is nil before its first release.
type TenantStatus struct {
	ID      tenant.ID `json:"id"`
	Live    *Release  `json:"live,omitempty"`
	Refused *Refusal  `json:"refused,omitempty"` // nil when the newest state of the folder is live
	Waiting string    `json:"waiting,omitempty"` // what keeps a changed folder from being taken yet
}

// Release is a revision that is live, or was.
type Release struct {
	Revision tenant.Revision   `json:"revision"`
	Time     time.Time         `json:"time"`             // of the commit, or when the folder was found settled
	Live     bool              `json:"live,omitempty"`   // it is what visitors get
	Since    time.Time         `json:"since,omitzero"`   // when it went live here
	Pinned   bool              `json:"pinned,omitempty"` // it was rolled back to: the folder has other content
	Pin      *tenant.Pin       `json:"pin,omitempty"`    // of a pinned one: by whom, when, at which edge, and over what
	Content  tenant.Hash       `json:"content"`          // digest of all files
	Also     []tenant.Revision `json:"also,omitempty"`   // earlier revisions of the same content
}

func releaseOf(rec *mirror.Record) Release {
	r := Release{Revision: rec.Revision, Time: rec.Time, Content: rec.Content(), Also: rec.Also}
	if rec.Pin != nil && rec.Pin.Over != r.Content {
		r.Pinned, r.Pin = true, rec.Pin
	}
	return r
}

// Refusal is a revision that is not live.
type Refusal struct {
	Revision tenant.Revision `json:"revision"`
	Time     time.Time       `json:"time"`
	Reason   string          `json:"reason"` // for the tenant: what is wrong and how to mend it
	Retry    bool            `json:"retry"`  // the fault is the edge's own: it tries again
}

// Status returns the state of all stores and tenants. What it returns is the
// caller's own.
func (s *Syncer) Status() Status {
	var out Status
	for _, st := range s.all() {
		one, tenants := st.snapshot()
		out.Stores = append(out.Stores, one)
		out.Tenants = append(out.Tenants, tenants...)
	}
	slices.SortFunc(out.Tenants, func(a, b TenantStatus) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Stores returns the state of the stores of the configuration, without the
// repositories of tenants' own.
func (s *Syncer) Stores() []StoreStatus {
	list := make([]StoreStatus, len(s.stores))
	for i, st := range s.stores {
		st.mu.Lock()
		list[i] = st.summary()
		st.mu.Unlock()
	}
	return list
}

// Tenant returns the state of one tenant, and whether any store has it.
func (s *Syncer) Tenant(id tenant.ID) (TenantStatus, bool) {
	for _, st := range s.stores {
		if t, ok := st.tenant(id); ok {
			return t, true
		}
	}
	for _, g := range s.groups {
		if st := g.store(id); st != nil {
			return st.tenant(id)
		}
	}
	return TenantStatus{}, false
}
