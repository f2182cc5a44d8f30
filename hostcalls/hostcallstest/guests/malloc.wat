;; The memory rules. It neither exports its memory nor has an allocator at first:
;; the path must come in pages that the host grows. The path's digit then chooses an
;; allocator, in which the method must come. The answer is the method.
(module
  (import "env" "hostcall_init_mm" (func $init_mm (param i32 i32)))
  (import "env" "hostcall_debug" (func $debug (param i32 i32)))
  (import "env" "hostcall_req_get_path" (func $get_path (param i32 i32 i32)))
  (import "env" "hostcall_req_get_method" (func $get_method (param i32 i32 i32)))
  (import "env" "hostcall_resp_set_body" (func $set_body (param i32 i32 i32) (result i32)))

  (memory 1)
  (table funcref (elem $null $trap $grow $wild $reenter $bump $talk $free))
  (data (i32.const 1024) "in malloc")
  (global $top (mut i32) (i32.const 4096))

  (func $null (param i32) (result i32) (i32.const 0))
  (func $trap (param i32) (result i32) unreachable)
  (func $grow (param i32) (result i32) (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
  (func $wild (param i32) (result i32) (i32.const 0xfffffff0))
  (func $reenter (param i32) (result i32) (call $get_path (i32.const 32) (i32.const 36) (i32.const 0)) (i32.const 8192))
  (func $bump (param $n i32) (result i32)
    (if (i32.eqz (local.get $n)) (then unreachable))
    (global.get $top)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.add (local.get $n) (i32.const 15))) (i32.const -16))))
  (func $talk (param $n i32) (result i32)
    (call $debug (i32.const 1024) (i32.const 9))
    (call $bump (local.get $n)))
  (func $free (param i32))

  (func (export "run")
    (local $index i32)
    (call $get_path (i32.const 16) (i32.const 20) (i32.const 0))
    ;; The page is new, and no part of the memory that the guest began with.
    (if (i32.lt_u (i32.load (i32.const 16)) (i32.const 65536)) (then unreachable))
    (local.set $index (i32.sub (i32.load8_u offset=1 (i32.load (i32.const 16))) (i32.const 48)))
    (call $init_mm (local.get $index) (i32.const 7))
    (i32.store (i32.const 16) (i32.const 0x55555555))
    (call $get_method (i32.const 16) (i32.const 20) (i32.const 0))
    (drop (call $set_body (i32.const 0) (i32.load (i32.const 16)) (i32.load (i32.const 20))))))
