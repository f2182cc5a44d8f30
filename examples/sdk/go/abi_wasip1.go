package terrane

// The functions of terrane as they are in the ABI; docs/hostcalls.md describes them.
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

//go:wasmimport env hostcall_log
func logAt(level int32, line string)

//go:wasmimport env hostcall_edge_name
func edgeName(out, n *uint32)

//go:wasmimport env hostcall_edge_region
func edgeRegion(out, n *uint32)

//go:wasmimport env hostcall_request_id
func requestID(out, n *uint32)

//go:wasmimport env hostcall_resp_set_response_code
func respSetResponseCode(resp int32, code uint32) int32

//go:wasmimport env hostcall_resp_set_header
func respSetHeader(resp int32, name string, values, n uint32) int32

//go:wasmimport env hostcall_resp_send_chunk
func respSendChunk(resp int32, chunk string) int32

//go:wasmimport env hostcall_req_set_timeout
func reqSetTimeout(req int32, milliseconds uint32) int32

//go:wasmimport env hostcall_req_send_streaming
func reqSendStreaming(req int32) int32

//go:wasmimport env hostcall_req_send_async
func reqSendAsync(req int32) int32

//go:wasmimport env hostcall_pending_req_wait
func pendingReqWait(pending int32) int32

//go:wasmimport env hostcall_pending_req_poll
func pendingReqPoll(pending int32) int32

//go:wasmimport env hostcall_pending_req_select
func pendingReqSelect(pending *int32, n uint32, done *int32) int32

//go:wasmimport env hostcall_resp_read
func respRead(resp int32, buffer *byte, n uint32) int32

//go:wasmimport env hostcall_kvstore_get_version
func kvstoreGetVersion(out, n *uint32, version *uint64, key string) int32

//go:wasmimport env hostcall_kvstore_put
func kvstorePut(key, value string, version uint64, ttl uint32) uint64

//go:wasmimport env hostcall_kvstore_increment
func kvstoreIncrement(key string, delta int64, ttl uint32, sum *int64) int32

//go:wasmimport env hostcall_kvstore_list
func kvstoreList(out, n *uint32, prefix, after string, limit uint32)

//go:wasmimport env hostcall_dns_query_ip
func dnsQueryIP(out, n *uint32, name string, ipv6 uint32) int32

//go:wasmimport env hostcall_dns_query_raw
func dnsQueryRaw(out, n *uint32, query string) int32
