// Package hostcalls is the hostcall_* ABI between terrane and its guests: the
// name and type of each function, what it does, the rules by which host and guest
// share memory, and the limits that hold for each.
//
// The package knows no engine and no server. An engine takes Functions and lends
// each call a Guest; a server makes an Exchange for each request and reads the
// Response from it when the guest has returned. What functions need from outside
// is declared here, and given by a Tenant: KV, Fetcher, Resolver, Logger.
//
// Files go by subject: inbound, response, stream, outbound, pending, kv, messages, system;
// env.go and asguest.go list the functions of the two dialects. How host and guest share memory
// is in package guestmem, WASI preview 1 in preview1, the objects of AssemblyScript in asheap.
//
// A guest's mistakes come in three sizes. What the ABI has an answer for (a
// handle never given, a bad header) is answered, and the guest goes on. A pointer
// outside its memory, or an allocator that fails, traps it: Func.Call returns an
// error that names the function and the argument. Neither costs anyone else
// anything: each range is checked before it is touched, and all that the host
// holds for a request is bounded.
//
// Goroutines: one for each asynchronous outbound request, ended by Exchange.Close.
package hostcalls
