package terrane

import (
	"errors"
	"strings"
)

// KVGet returns the key's value, and whether there is one.
func KVGet(key string) (string, bool) {
	var out slice
	found := kvstoreGet(&out.ptr, &out.len, key)
	return string(out.take()), found != 0
}

// KVSet sets the key's value, whatever was there, and reports whether the key is
// new. (The host's name for it is "insert".)
func KVSet(key, value string) bool { return kvstoreInsert(key, value) != 0 }

// KVAdd sets the key's value unless there is one, and reports whether the key is
// new. (The host's name for it is "upsert".)
func KVAdd(key, value string) bool { return kvstoreUpsert(key, value) != 0 }

// KVAppend adds to the value's end, and reports whether the key is new.
func KVAppend(key, value string) bool { return kvstoreAppend(key, value) != 0 }

// KVRemove reports whether there was something to remove.
func KVRemove(key string) bool { return kvstoreRemove(key) != 0 }

// Header has the values of each name. (net/http's would double the module's size.)
type Header map[string][]string

// Response is an upstream's answer, or that of a module.
type Response struct {
	Status int
	Header Header // names in lower case
	Body   []byte
}

// ErrFetch is Fetch's error, unless the host refuses what is to be sent.
var ErrFetch = errors.New("the upstream did not answer")

// Fetch sends a request to an absolute URL and waits. A status such as 404 or 500
// is a Response, not an error.
func Fetch(method, url string, header Header, body string) (*Response, error) {
	req := reqCreate(method, url)
	if req < 0 {
		return nil, ErrFetch
	}
	for name, values := range header {
		list := newList(values)
		status := reqSetHeader(req, name, list.ptr, list.len)
		list.free()
		if status != 0 {
			return nil, refusal()
		}
	}
	if reqSetBody(req, body) != 0 {
		return nil, refusal()
	}
	handle := reqSend(req)
	if handle < 0 {
		return nil, ErrFetch
	}
	return received(handle), nil
}

// received reads a response.
func received(handle int32) *Response {
	resp := &Response{Status: int(respGetResponseCode(handle)), Header: Header{}}
	var out slice
	respGetHeaders(&out.ptr, &out.len, handle)
	for _, name := range out.takeList() {
		respGetHeader(&out.ptr, &out.len, handle, name)
		resp.Header[strings.ToLower(name)] = out.takeList()
	}
	respGetBody(&out.ptr, &out.len, handle)
	resp.Body = out.take()
	return resp
}

// Publish hands a message to the modules of this folder whose [[subscribe]] takes
// the subject. Without an error it is kept, and handled at least once.
func Publish(subject, message string) error {
	if publish(subject, message) != 0 {
		return refusal()
	}
	return nil
}

// Request sends a message to a module that subscribes to it, at the nearest edge,
// and waits for what it answers.
func Request(subject, message string) (*Response, error) {
	handle := request(subject, message)
	if handle < 0 {
		return nil, refusal()
	}
	return received(handle), nil
}

// refusal is why the last call failed.
func refusal() error {
	var out slice
	lastError(&out.ptr, &out.len)
	return errors.New(string(out.take()))
}

// Log writes a line to the tenant's log.
func Log(line string) { debug(line) }
