// Package edge assembles an edge: New builds its parts from a configuration and connects
// them, Run runs them. It is the only place that wires: sync, dnsverify, hostcalls, bgp and
// server meet here, through the interfaces that each of them declares.
//
// It has no file format, no listener and no protocol; those are its parts'.
//
// New starts nothing and binds nothing. Run starts the parts in the order in which they
// use each other and stops them in reverse (package parts); its order is documented in
// ARCHITECTURE.md, "The way of a shutdown".
package edge
