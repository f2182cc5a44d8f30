package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/terrane/terrane/tenant"
)

// wellKnown is where each host tells how it stands. Tenants cannot cover it.
const wellKnown = "/.well-known/terrane"

// WebhookPath is where forges tell of pushes, at whatever host leads here.
const WebhookPath = wellKnown + "/webhook"

// report is what wellKnown shows.
type report struct {
	Edge     string          `json:"edge"`
	Host     tenant.Host     `json:"host"`
	DNS      tenant.Verdict  `json:"dns"`
	Revision tenant.Revision `json:"revision,omitempty"` // live
	Refused  *refused        `json:"refused,omitempty"`
	Problem  string          `json:"problem,omitempty"` // why nothing is shown
}

type refused struct {
	Revision tenant.Revision `json:"revision"`
	Reason   string          `json:"reason"`
}

func (v *visit) report() {
	p := v.place
	rep := report{Edge: v.srv.opts.Edge, Host: v.host, DNS: p.verdict, Problem: p.problem}
	if p.release != nil {
		rep.Revision = p.release.revision
	}
	// A folder that does not consent tells this host nothing of itself.
	if p.verdict.Standing == tenant.Verified && (p.release != nil || p.site == nil) {
		if rev, reason, ok := v.srv.opts.Refused(p.verdict.Tenant); ok {
			rep.Refused = &refused{rev, reason}
		}
	}
	v.json(rep)
}

// self answers the edge's own question whether its listener serves.
func (v *visit) self() {
	v.json(report{Edge: v.srv.opts.Edge, Host: v.host, DNS: tenant.Verdict{Standing: tenant.Verified, Reason: "this edge itself"}})
}

func (v *visit) json(value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(err) // value is ours
	}
	body = append(body, '\n')
	h := v.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	v.WriteHeader(http.StatusOK)
	_, _ = v.Write(body) // a visitor who has left is no error
}
