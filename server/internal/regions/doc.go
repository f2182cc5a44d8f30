// Package regions sends requests to the edges of other regions, for tenants whose manifest keeps
// them there. A request names its regions in order; the first that has an edge gets it.
//
// A request that no edge has begun is sent again, at most twice, and not to an edge that has
// refused it: a deploy or a full edge of the other region then costs visitors nothing. Nothing is
// sent twice that an edge may have begun, whatever its method. 64 KiB of a body are kept for that;
// a larger body is sent once if any of the rest was read.
//
// Goroutines are those of net/http. Each wait is bounded by the limit of New and the request's
// context.
package regions
