;; A reactor: run fails unless _initialize was called first, once for each request.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "ready")
  (global $calls (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
  (func (export "run")
    (if (i32.ne (global.get $calls) (i32.const 1)) (then unreachable))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 5)))))
