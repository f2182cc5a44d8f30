;; An allocator under the name that Terrafirma wanted, and no hostcall_init_mm. It
;; traps when it is asked for nothing. The answer is the values of the header x-empty.
(module
  (import "env" "hostcall_req_get_header" (func $get_header (param i32 i32 i32 i32 i32)))
  (import "env" "hostcall_resp_set_header" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 1024) "x-empty")
  (global $top (mut i32) (i32.const 4096))

  (func (export "default_malloc_impl") (param $n i32) (result i32)
    (if (i32.eqz (local.get $n)) (then unreachable))
    (global.get $top)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.add (local.get $n) (i32.const 15))) (i32.const -16))))

  (func (export "run")
    (call $get_header (i32.const 16) (i32.const 20) (i32.const 0) (i32.const 1024) (i32.const 7))
    ;; It came from the allocator above.
    (if (i32.ne (i32.load (i32.const 16)) (i32.const 4096)) (then unreachable))
    (if (call $set_header (i32.const 0) (i32.const 1024) (i32.const 7) (i32.load (i32.const 16)) (i32.load (i32.const 20)))
      (then unreachable))))
