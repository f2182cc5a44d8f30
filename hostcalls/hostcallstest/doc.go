// Package hostcallstest is a kit of guests and of what they must answer. Whatever
// runs guests passes Run: an engine by itself, or a whole server.
//
// The guests stand in guests/ with their sources; `make -C hostcalls/hostcallstest/guests`
// rebuilds them.
package hostcallstest
