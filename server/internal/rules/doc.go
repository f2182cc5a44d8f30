// Package rules reads the files of rules that a folder may have next to its pages, _redirects
// and _headers, in the form that other hosts of static sites take, and applies them to paths.
//
// Whatever a tenant writes is bounded when it is read: the bytes of a file, the number of rules,
// and the number of those with a placeholder, since a request is compared with each of them.
// Faults are collected, each with its file and line, for the tenant. What has been read is
// immutable and safe for concurrent use.
//
// A redirect never leads to another host than its rule names, whatever path a visitor asks for.
package rules
