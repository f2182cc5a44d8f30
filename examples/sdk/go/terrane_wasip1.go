package terrane

import "errors"

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

// The version of a key that is absent, and the one by which KVPut overwrites whatever is there.
const (
	Absent     uint64 = 0
	AnyVersion uint64 = 1<<64 - 1
)

// KVGetVersion returns the key's value and its version, Absent if there is none.
func KVGetVersion(key string) (value string, version uint64) {
	var out slice
	kvstoreGetVersion(&out.ptr, &out.len, &version, key)
	return string(out.take()), version
}

// KVPut sets the key's value if the key has the version, and returns the new one; false if it has
// another. Unless ttl is 0, the key is gone again that many seconds later.
func KVPut(key, value string, version uint64, ttl uint32) (uint64, bool) {
	v := kvstorePut(key, value, version, ttl)
	return v, v != 0
}

// KVIncrement adds to a number, atomically, and returns the sum. A key that is absent counts as 0
// and, unless ttl is 0, is gone again that many seconds later.
func KVIncrement(key string, delta int64, ttl uint32) (int64, error) {
	var sum int64
	if kvstoreIncrement(key, delta, ttl, &sum) != 0 {
		return 0, refusal()
	}
	return sum, nil
}

// KVList returns the first keys, at most limit and 1000, that begin with prefix and sort behind after.
func KVList(prefix, after string, limit uint32) []string {
	var out slice
	kvstoreList(&out.ptr, &out.len, prefix, after, limit)
	return out.takeList()
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
	return answered(handle)
}

// refusal is why the last call failed.
func refusal() error {
	var out slice
	lastError(&out.ptr, &out.len)
	return errors.New(string(out.take()))
}

// Log writes a line to the tenant's log, for debugging.
func Log(line string) { debug(line) }

// Level is how grave a line of the log is.
type Level int32

// The levels of LogAt.
const (
	Debug Level = iota
	Info
	Warning
	Error
)

// LogAt writes a line to the tenant's log.
func LogAt(level Level, line string) { logAt(int32(level), line) }

// EdgeName is the name of the edge that runs this instance.
func EdgeName() string {
	var out slice
	edgeName(&out.ptr, &out.len)
	return string(out.take())
}

// EdgeRegion is its region, empty if it has none.
func EdgeRegion() string {
	var out slice
	edgeRegion(&out.ptr, &out.len)
	return string(out.take())
}

// RequestID is the request's id, as in the log and in the header Terrane-Request-Id.
func RequestID() string {
	var out slice
	requestID(&out.ptr, &out.len)
	return string(out.take())
}

// Lookup returns the addresses of a name: of 16 bytes each if ipv6, else of 4.
func Lookup(name string, ipv6 bool) [][]byte {
	var out slice
	six := uint32(0)
	if ipv6 {
		six = 1
	}
	dnsQueryIP(&out.ptr, &out.len, name, six)
	var all [][]byte
	for _, address := range out.takeList() {
		all = append(all, []byte(address))
	}
	return all
}

// Resolve sends a DNS message (RFC 1035) and returns the resolver's; nil if there is none.
func Resolve(message []byte) []byte {
	var out slice
	dnsQueryRaw(&out.ptr, &out.len, string(message))
	return out.take()
}

// Answer sets the status and the header of a response that SendChunk sends. A program that
// answers so writes no response to os.Stdout.
func Answer(status int, header Header) error {
	if respSetResponseCode(0, uint32(status)) != 0 {
		return refusal()
	}
	for name, values := range header {
		list := newList(values)
		refused := respSetHeader(0, name, list.ptr, list.len)
		list.free()
		if refused != 0 {
			return refusal()
		}
	}
	return nil
}

// SendChunk sends a part of the body to the visitor at once, status and header before the first.
func SendChunk(chunk []byte) error {
	if respSendChunk(0, string(chunk)) != 0 {
		return refusal()
	}
	return nil
}
