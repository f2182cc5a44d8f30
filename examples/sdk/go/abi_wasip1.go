package terrane

// The functions of terrane as they stand in the ABI; docs/hostcalls.md describes them.
// A string is passed as its pointer and its length.

//go:wasmimport env hostcall_debug
func debug(line string)

//go:wasmimport env hostcall_req_create
func reqCreate(method, url string) int32

//go:wasmimport env hostcall_req_set_header
func reqSetHeader(req int32, name string, values, n uint32) int32

//go:wasmimport env hostcall_req_set_body
func reqSetBody(req int32, body string) int32

//go:wasmimport env hostcall_req_send
func reqSend(req int32) int32

//go:wasmimport env hostcall_resp_get_response_code
func respGetResponseCode(resp int32) uint32

//go:wasmimport env hostcall_resp_get_headers
func respGetHeaders(out, n *uint32, resp int32)

//go:wasmimport env hostcall_resp_get_header
func respGetHeader(out, n *uint32, resp int32, name string)

//go:wasmimport env hostcall_resp_get_body
func respGetBody(out, n *uint32, resp int32)

//go:wasmimport env hostcall_kvstore_get
func kvstoreGet(out, n *uint32, key string) int32

//go:wasmimport env hostcall_kvstore_insert
func kvstoreInsert(key, value string) int32

//go:wasmimport env hostcall_kvstore_upsert
func kvstoreUpsert(key, value string) int32

//go:wasmimport env hostcall_kvstore_append
func kvstoreAppend(key, value string) int32

//go:wasmimport env hostcall_kvstore_remove
func kvstoreRemove(key string) int32

//go:wasmimport env hostcall_publish
func publish(subject, message string) int32

//go:wasmimport env hostcall_request
func request(subject, message string) int32

//go:wasmimport env hostcall_last_error
func lastError(out, n *uint32)
