//! The kit's guest in Rust, with the habits of Terrarium's guest library: it frees
//! what it is given, tests pointers for null, transmutes statuses, and panics
//! through the hook. It reflects the request; the path `/panic` panics.

use std::alloc::{alloc, dealloc, Layout};

#[repr(C)]
#[derive(Clone, Copy)]
struct Slice {
    ptr: *mut u8,
    len: usize,
}

#[repr(u8)]
#[derive(PartialEq)]
#[allow(dead_code)]
enum Status {
    Ok = 0,
    Invalid = 1,
}

#[link(wasm_import_module = "env")]
extern "C" {
    fn hostcall_init_mm(malloc: extern "C" fn(usize) -> *mut u8, free: extern "C" fn(*mut u8));
    fn hostcall_panic_hook(msg: *const u8, len: usize);
    fn hostcall_req_get_method(p: *mut *mut u8, n: *mut usize, req: i32);
    fn hostcall_req_get_path(p: *mut *mut u8, n: *mut usize, req: i32);
    fn hostcall_req_get_body(p: *mut *mut u8, n: *mut usize, req: i32);
    fn hostcall_req_get_headers(p: *mut *mut Slice, n: *mut usize, req: i32);
    fn hostcall_req_get_header(p: *mut *mut Slice, n: *mut usize, req: i32, name: *const u8, len: usize);
    fn hostcall_resp_set_header(resp: i32, name: *const u8, len: usize, values: *const Slice, n: usize) -> Status;
    fn hostcall_resp_set_body(resp: i32, body: *const u8, len: usize) -> Status;
    fn hostcall_resp_set_response_code(resp: i32, code: u16) -> Status;
    fn hostcall_kvstore_insert(key: *const u8, len: usize, value: *const u8, n: usize) -> bool;
    fn hostcall_kvstore_get(p: *mut *mut u8, n: *mut usize, key: *const u8, len: usize) -> bool;
}

extern "C" fn malloc(len: usize) -> *mut u8 {
    assert!(len > 0, "malloc(0)");
    unsafe { alloc(Layout::from_size_align_unchecked(len, 8)) }
}

// As in the old library, the size is not known.
extern "C" fn free(ptr: *mut u8) {
    unsafe { dealloc(ptr, Layout::from_size_align_unchecked(1, 8)) }
}

fn bytes(get: impl FnOnce(*mut *mut u8, *mut usize)) -> Vec<u8> {
    let (mut ptr, mut len) = (0x5555_5555 as *mut u8, 0x5555_5555);
    get(&mut ptr, &mut len);
    if ptr.is_null() {
        assert_eq!(len, 0);
        return vec![];
    }
    let copy = unsafe { std::slice::from_raw_parts(ptr, len) }.to_vec();
    free(ptr);
    copy
}

fn list(get: impl FnOnce(*mut *mut Slice, *mut usize)) -> Vec<Vec<u8>> {
    let (mut ptr, mut len) = (0x5555_5555 as *mut Slice, 0x5555_5555);
    get(&mut ptr, &mut len);
    if ptr.is_null() {
        assert_eq!(len, 0);
        return vec![];
    }
    let slices = unsafe { std::slice::from_raw_parts(ptr, len) }.to_vec();
    free(ptr as *mut u8);
    slices.iter().map(|s| bytes(|p, n| unsafe { *p = s.ptr; *n = s.len })).collect()
}

fn text(b: &[u8]) -> String {
    String::from_utf8(b.to_vec()).expect("text")
}

fn set_header(name: &str, values: &[Vec<u8>]) {
    let slices: Vec<Slice> = values.iter().map(|v| Slice { ptr: v.as_ptr() as *mut u8, len: v.len() }).collect();
    let status = unsafe { hostcall_resp_set_header(0, name.as_ptr(), name.len(), slices.as_ptr(), slices.len()) };
    assert!(status == Status::Ok, "header {}", name);
}

#[no_mangle]
pub extern "C" fn run() {
    unsafe { hostcall_init_mm(malloc, free) };
    std::panic::set_hook(Box::new(|info| {
        let msg = info.to_string();
        unsafe { hostcall_panic_hook(msg.as_ptr(), msg.len()) };
    }));
    let method = text(&bytes(|p, n| unsafe { hostcall_req_get_method(p, n, 0) }));
    let path = text(&bytes(|p, n| unsafe { hostcall_req_get_path(p, n, 0) }));
    if path == "/panic" {
        panic!("kit of {}", method);
    }
    let body = bytes(|p, n| unsafe { hostcall_req_get_body(p, n, 0) });
    for name in list(|p, n| unsafe { hostcall_req_get_headers(p, n, 0) }) {
        let values = list(|p, n| unsafe { hostcall_req_get_header(p, n, 0, name.as_ptr(), name.len()) });
        set_header(&format!("saw-{}", text(&name)), &values);
    }
    unsafe {
        assert!(hostcall_kvstore_insert("rust".as_ptr(), 4, 1 as *const u8, 0));
        let (mut ptr, mut len) = (std::ptr::null_mut(), 1);
        assert!(hostcall_kvstore_get(&mut ptr, &mut len, "rust".as_ptr(), 4));
        assert!(!ptr.is_null() && len == 0);
        free(ptr);
        assert!(!hostcall_kvstore_insert("rust".as_ptr(), 4, 1 as *const u8, 0));
    }
    let answer = format!("{} {} {}", method, path, text(&body));
    unsafe {
        assert!(hostcall_resp_set_body(0, answer.as_ptr(), answer.len()) == Status::Ok);
        assert!(hostcall_resp_set_response_code(0, 201) == Status::Ok);
    }
}
