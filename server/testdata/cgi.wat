;; A CGI program: a header and two halves of a megabyte, whether they can be written or not.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 9)
  (data (i32.const 32) "Content-Type: text/plain\0a\0a")
  (func $out (param $ptr i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $ptr))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $out (i32.const 32) (i32.const 26))
    (call $out (i32.const 1024) (i32.const 524288))
    (call $out (i32.const 1024) (i32.const 524288))))
