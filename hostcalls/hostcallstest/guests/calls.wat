;; A thousand calls, for benchmarks: the method's first byte chooses. T asks for the
;; time, C sets the code, H reads a header of one value, P the path.
(module
  (import "env" "hostcall_init_mm" (func $init_mm (param i32 i32)))
  (import "env" "hostcall_time_now" (func $time_now (param i32) (result i64)))
  (import "env" "hostcall_resp_set_response_code" (func $set_code (param i32 i32) (result i32)))
  (import "env" "hostcall_req_get_method" (func $get_method (param i32 i32 i32)))
  (import "env" "hostcall_req_get_path" (func $get_path (param i32 i32 i32)))
  (import "env" "hostcall_req_get_header" (func $get_header (param i32 i32 i32 i32 i32)))

  (memory (export "memory") 1)
  (table funcref (elem $malloc))
  (data (i32.const 1024) "user-agent")
  (global $top (mut i32) (i32.const 4096))
  (func $malloc (param $n i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get $n) (i32.const 7)) (i32.const -8)))))

  (func (export "run")
    (local $case i32) (local $left i32)
    (call $init_mm (i32.const 0) (i32.const 0))
    (call $get_method (i32.const 16) (i32.const 20) (i32.const 0))
    (local.set $case (i32.load8_u (i32.load (i32.const 16))))
    (local.set $left (i32.const 1000))
    (loop $again
      (global.set $top (i32.const 4096))
      (if (i32.eq (local.get $case) (i32.const 84)) (then (drop (call $time_now (i32.const 0)))))
      (if (i32.eq (local.get $case) (i32.const 67)) (then (drop (call $set_code (i32.const 0) (i32.const 200)))))
      (if (i32.eq (local.get $case) (i32.const 72)) (then
        (call $get_header (i32.const 16) (i32.const 20) (i32.const 0) (i32.const 1024) (i32.const 10))))
      (if (i32.eq (local.get $case) (i32.const 80)) (then
        (call $get_path (i32.const 16) (i32.const 20) (i32.const 0))))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
