;; Pointers at the memory's end: the method's first byte chooses. Its memory is one
;; page and may not grow.
(module
  (import "env" "hostcall_init_mm" (func $init_mm (param i32 i32)))
  (import "env" "hostcall_req_get_method" (func $get_method (param i32 i32 i32)))
  (import "env" "hostcall_req_get_path" (func $get_path (param i32 i32 i32)))
  (import "env" "hostcall_resp_set_body" (func $set_body (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_header" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))

  (memory 1 1)
  (table funcref (elem $malloc))
  (data (i32.const 1024) "x-a")
  (func $malloc (param i32) (result i32) (i32.const 8192))

  (func (export "run")
    (local $case i32)
    (call $init_mm (i32.const 0) (i32.const 0))
    (call $get_method (i32.const 16) (i32.const 20) (i32.const 0))
    (local.set $case (i32.load8_u (i32.load (i32.const 16))))
    ;; A: the last bytes are within.
    (if (i32.eq (local.get $case) (i32.const 65)) (then
      (drop (call $set_body (i32.const 0) (i32.const 65532) (i32.const 4)))
      (call $get_path (i32.const 65532) (i32.const 65528) (i32.const 0))))
    ;; B: one byte over.
    (if (i32.eq (local.get $case) (i32.const 66)) (then
      (drop (call $set_body (i32.const 0) (i32.const 65533) (i32.const 4)))))
    ;; C: wraps around.
    (if (i32.eq (local.get $case) (i32.const 67)) (then
      (drop (call $set_body (i32.const 0) (i32.const 8) (i32.const 0xfffffff9)))))
    ;; D: a result over the end.
    (if (i32.eq (local.get $case) (i32.const 68)) (then
      (call $get_path (i32.const 16) (i32.const 65533) (i32.const 0))))
    ;; E: a list of half a billion elements, as an absent header's length can be.
    (if (i32.eq (local.get $case) (i32.const 69)) (then
      (drop (call $set_header (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const 0x20000001)))))
    ;; F: an element outside.
    (if (i32.eq (local.get $case) (i32.const 70)) (then
      (i32.store (i32.const 2048) (i32.const 65535))
      (i32.store (i32.const 2052) (i32.const 2))
      (drop (call $set_header (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 2048) (i32.const 1)))))))
