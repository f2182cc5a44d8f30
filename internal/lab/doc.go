// Package lab builds small networks on one Linux machine, for end-to-end tests
// and for figures: nodes in network namespaces joined by veth pairs or by slow
// links, BIRD and FRR routers, an authoritative DNS server, git repositories
// served over smart HTTP, clients, and whatever program a test starts on a node.
// It knows no other package of terrane: what it runs is what an operator would run.
//
// A namespace belongs to an operating system thread, so nothing of a lab runs in
// the process that builds it. Programs run as child processes; the git server and
// the clients are this same executable, started again in a role (see Child).
//
// A Lab removes what it made and nothing else: processes by pid, namespaces by
// names that no other lab has, its temporary folder. A keeper process does the
// removing as soon as the lab is closed or the process that built it is gone, be
// it by an interrupt, a panic, a test's time limit or kill -9.
//
// Making namespaces needs root. The host itself is a node too (Lab.Host), so
// that everything but links and addresses also works without.
package lab
