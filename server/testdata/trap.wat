;; Fails after it has set a response.
(module
  (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "secret")
  (func $inner unreachable)
  (func (export "run")
    (drop (call $set (i32.const 0) (i32.const 0) (i32.const 6)))
    (call $inner)))
