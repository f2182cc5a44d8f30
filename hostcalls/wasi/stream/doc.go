// Package stream is wasi:io: streams, what guests wait for, and errors that are told once
// something has gone wrong with a stream. Other interfaces make streams of a Source or a Sink.
//
// A guest waits in this package alone. All its waits end with the request, and before each one
// the other interfaces send what they hold back (abi.Part.Idle).
package stream
