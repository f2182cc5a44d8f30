// Package http is wasi:http: the request that a component answers, its response, and requests
// that it sends, all within the limits of the Exchange.
//
// What a guest writes to the response's body after response-outparam.set is kept until it is
// 64 KiB, or until the guest waits, so that a small response is sent whole, with its length. A
// response is an error for the visitor if the component sets none, sets an error, traps, or ends
// without outgoing-body.finish; if a part of it was sent by then, the connection is cut.
//
// Goroutines: one for each outbound request until its header has come, and one for each chunk
// of a body while it is read; the end of the request ends them and waits for them.
package http
