//! The host writes into memory that it gets from malloc; the guest frees it.

use std::alloc::{alloc, dealloc, Layout};
use std::ptr::null_mut;

/// Each block starts with its layout's size, because free is told only the place.
const HEAD: usize = 8;

pub extern "C" fn malloc(len: usize) -> *mut u8 {
    let size = len.saturating_add(HEAD);
    let layout = match Layout::from_size_align(size, HEAD) {
        Ok(layout) => layout,
        Err(_) => return null_mut(),
    };
    unsafe {
        let block = alloc(layout);
        if block.is_null() {
            return block;
        }
        *(block as *mut usize) = size;
        block.add(HEAD)
    }
}

pub extern "C" fn free(ptr: *mut u8) {
    if ptr.is_null() {
        return;
    }
    unsafe {
        let block = ptr.sub(HEAD);
        dealloc(
            block,
            Layout::from_size_align_unchecked(*(block as *mut usize), HEAD),
        );
    }
}

#[repr(C)]
pub struct Slice {
    ptr: *mut u8,
    len: usize,
}

impl Slice {
    pub fn of(s: &str) -> Slice {
        Slice {
            ptr: s.as_ptr() as *mut u8,
            len: s.len(),
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        if self.ptr.is_null() {
            return None;
        }
        let copy = unsafe { std::slice::from_raw_parts(self.ptr, self.len) }.to_vec();
        free(self.ptr);
        Some(copy)
    }
}

/// Takes what `get` leaves at its two out-pointers; None is a null pointer.
pub fn bytes(get: impl FnOnce(*mut *mut u8, *mut usize)) -> Option<Vec<u8>> {
    let mut got = Slice {
        ptr: null_mut(),
        len: 0,
    };
    get(&mut got.ptr, &mut got.len);
    got.take()
}

/// Takes a list, and each of its elements.
pub fn list(get: impl FnOnce(*mut *mut Slice, *mut usize)) -> Vec<Vec<u8>> {
    let (mut ptr, mut len) = (null_mut::<Slice>(), 0);
    get(&mut ptr, &mut len);
    if ptr.is_null() {
        return vec![];
    }
    let slices = unsafe { std::slice::from_raw_parts(ptr, len) };
    let items = slices
        .iter()
        .map(|s| s.take().unwrap_or_default())
        .collect();
    free(ptr as *mut u8);
    items
}
