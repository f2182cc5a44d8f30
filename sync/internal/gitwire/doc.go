// Package gitwire is the client's side of git's protocol, in the version 0 that every
// server speaks (gitprotocol-pack(5), gitprotocol-http(5)): over https, http and ssh,
// and to the git command for local paths.
//
// A server is a stranger's. Everything that it sends is bounded in bytes and time, and
// references that nobody asked for are read and forgotten, so that a conversation takes
// memory for what is wanted alone.
//
// Credentials go to the place that they were configured for: the URL, or what lies
// below Options.Within. An HTTP redirect that leaves it is an error.
//
// The package runs no goroutine that outlasts the call that started it.
package gitwire
