// Package admin is the operator's listener: metrics, health, status, tenants' state, and the
// few things an operator may have a running edge do. It has the types of its JSON, which
// the command line decodes, and asks the edge's parts for what it shows.
//
//	/metrics   Prometheus metrics
//	/healthz   200 while the process runs
//	/readyz    200 when the edge is fit to serve, else 503 with what is missing
//	/status    JSON, one section for each part of the edge
//	/doctor    JSON: what is wrong with ?host=DOMAIN, and how to mend it
//	/progress  JSON: how far ?revision=REV has come at each edge
//	/logs      JSON lines: ?tenant=ID, &lines=N the last ones (default 100), &follow=1 those to come
//
//	/releases  JSON: what ?tenant=ID can be rolled back to
//
//	/kv        tenants' state, see kvHandler
//
// A POST to /rollback?tenant=ID&revision=REV makes an earlier release live again, one to /drain or /undrain withdraws the
// edge's prefixes or announces them again, one to /lattice/forget?edge=NAME removes an edge from the cluster, and one to
// RepairPath or AcceptLossPath repairs damaged state.
//
// On loopback it needs no token; anywhere else it takes requests with the bearer
// token only. It speaks plain HTTP: put it on loopback or on a private network.
//
// Goroutines: those of net/http, which Run waits for.
package admin
