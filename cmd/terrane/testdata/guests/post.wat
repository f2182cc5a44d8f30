;; Publishes the request's body to "orders.new", and answers 200, or 502 if it is not kept.
(module
  (import "env" "hostcall_req_get_body" (func $get (param i32 i32 i32)))
  (import "env" "hostcall_publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $code (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "orders.new")
  (func (export "run")
    (call $get (i32.const 0) (i32.const 4) (i32.const 0))
    (if (call $publish (i32.const 16) (i32.const 10) (i32.load (i32.const 0)) (i32.load (i32.const 4)))
      (then (drop (call $code (i32.const 0) (i32.const 502)))))))
