// Package hostcalls is the hostcall_* ABI between terrane and its guests: the
// name and type of each function, what it does, the rules by which host and guest
// share memory, and the limits that hold for each.
//
// The package knows no engine and no server. An engine takes Functions and lends
// each call a Guest; a server makes an Exchange for each request and reads the
// Response from it when the guest has returned. What functions need from outside
// is declared here, and given to New: KV, Fetcher, Resolver, Logger.
package hostcalls
