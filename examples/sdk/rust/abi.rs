//! The functions of terrane as they stand in the ABI; docs/hostcalls.md describes them.

use crate::memory::Slice;

#[link(wasm_import_module = "env")]
extern "C" {
    pub fn hostcall_init_mm(malloc: extern "C" fn(usize) -> *mut u8, free: extern "C" fn(*mut u8));
    pub fn hostcall_panic_hook(msg: *const u8, len: usize);
    pub fn hostcall_debug(msg: *const u8, len: usize);
    pub fn hostcall_log(level: i32, msg: *const u8, len: usize);

    pub fn hostcall_edge_name(out: *mut *mut u8, out_len: *mut usize);
    pub fn hostcall_edge_region(out: *mut *mut u8, out_len: *mut usize);
    pub fn hostcall_request_id(out: *mut *mut u8, out_len: *mut usize);

    pub fn hostcall_req_get_method(out: *mut *mut u8, out_len: *mut usize, req: i32);
    pub fn hostcall_req_get_path(out: *mut *mut u8, out_len: *mut usize, req: i32);
    pub fn hostcall_req_get_body(out: *mut *mut u8, out_len: *mut usize, req: i32);
    pub fn hostcall_req_get_headers(out: *mut *mut Slice, out_len: *mut usize, req: i32);
    pub fn hostcall_req_get_header(
        out: *mut *mut Slice,
        out_len: *mut usize,
        req: i32,
        name: *const u8,
        name_len: usize,
    );

    pub fn hostcall_resp_set_header(
        resp: i32,
        name: *const u8,
        name_len: usize,
        values: *const Slice,
        len: usize,
    ) -> i32;
    pub fn hostcall_resp_set_body(resp: i32, body: *const u8, len: usize) -> i32;
    pub fn hostcall_resp_set_response_code(resp: i32, code: u32) -> i32;
    pub fn hostcall_resp_send_chunk(resp: i32, chunk: *const u8, len: usize) -> i32;

    pub fn hostcall_req_create(
        method: *const u8,
        method_len: usize,
        url: *const u8,
        url_len: usize,
    ) -> i32;
    pub fn hostcall_req_set_header(
        req: i32,
        name: *const u8,
        name_len: usize,
        values: *const Slice,
        len: usize,
    ) -> i32;
    pub fn hostcall_req_set_body(req: i32, body: *const u8, len: usize) -> i32;
    pub fn hostcall_req_set_timeout(req: i32, milliseconds: u32) -> i32;
    pub fn hostcall_req_send(req: i32) -> i32;
    pub fn hostcall_req_send_streaming(req: i32) -> i32;
    pub fn hostcall_req_send_async(req: i32) -> i32;
    pub fn hostcall_pending_req_wait(pending: i32) -> i32;
    pub fn hostcall_pending_req_poll(pending: i32) -> i32;
    pub fn hostcall_pending_req_select(pending: *const i32, len: usize, done: *mut i32) -> i32;
    pub fn hostcall_resp_get_response_code(resp: i32) -> u32;
    pub fn hostcall_resp_get_headers(out: *mut *mut Slice, out_len: *mut usize, resp: i32);
    pub fn hostcall_resp_get_header(
        out: *mut *mut Slice,
        out_len: *mut usize,
        resp: i32,
        name: *const u8,
        name_len: usize,
    );
    pub fn hostcall_resp_get_body(out: *mut *mut u8, out_len: *mut usize, resp: i32);
    pub fn hostcall_resp_read(resp: i32, buffer: *mut u8, len: usize) -> i32;

    pub fn hostcall_kvstore_get(
        out: *mut *mut u8,
        out_len: *mut usize,
        key: *const u8,
        key_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_insert(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_upsert(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_append(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_remove(key: *const u8, key_len: usize) -> i32;

    pub fn hostcall_kvstore_get_version(
        out: *mut *mut u8,
        out_len: *mut usize,
        version: *mut u64,
        key: *const u8,
        key_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_put(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        len: usize,
        version: u64,
        ttl: u32,
    ) -> u64;
    pub fn hostcall_kvstore_increment(
        key: *const u8,
        key_len: usize,
        delta: i64,
        ttl: u32,
        sum: *mut i64,
    ) -> i32;

    pub fn hostcall_kvstore_list(
        out: *mut *mut Slice,
        out_len: *mut usize,
        prefix: *const u8,
        prefix_len: usize,
        after: *const u8,
        after_len: usize,
        limit: usize,
    );
    pub fn hostcall_last_error(out: *mut *mut u8, out_len: *mut usize);

    pub fn hostcall_env_get(
        out: *mut *mut u8,
        out_len: *mut usize,
        name: *const u8,
        name_len: usize,
    ) -> i32;
    pub fn hostcall_rng_next_u64() -> u64;
    pub fn hostcall_time_now(nanos: *mut u32) -> i64;
    pub fn hostcall_dns_query_ip(
        out: *mut *mut Slice,
        out_len: *mut usize,
        name: *const u8,
        len: usize,
        ipv6: i32,
    ) -> i32;
    pub fn hostcall_dns_query_raw(
        out: *mut *mut u8,
        out_len: *mut usize,
        query: *const u8,
        len: usize,
    ) -> i32;

    pub fn hostcall_publish(
        subject: *const u8,
        subject_len: usize,
        message: *const u8,
        len: usize,
    ) -> i32;
    pub fn hostcall_request(
        subject: *const u8,
        subject_len: usize,
        message: *const u8,
        len: usize,
    ) -> i32;
}
