;; The second release of the end-to-end test's tenant.
(module
  (import "env" "hostcall_resp_set_body" (func $set_body (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "the second release\n")
  (func (export "run")
    (drop (call $set_body (i32.const 0) (i32.const 16) (i32.const 19)))))
