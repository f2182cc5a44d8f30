;; Sends a chunk, fetches a URL (which lets the test wait), and sends another; then it
;; returns, or fails when the request's body is not empty.
(module
  (import "env" "hostcall_resp_send_chunk" (func $send (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_req_get_body" (func $body (param i32 i32 i32)))
  (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_req_send" (func $fetch (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "first\0asecond\0aGEThttp://wait.example/")
  (func (export "run")
    (drop (call $send (i32.const 0) (i32.const 16) (i32.const 6)))
    (drop (call $fetch (call $create (i32.const 29) (i32.const 3) (i32.const 32) (i32.const 20))))
    (call $body (i32.const 0) (i32.const 4) (i32.const 0))
    (if (i32.load (i32.const 4)) (then unreachable))
    (drop (call $send (i32.const 0) (i32.const 22) (i32.const 7)))))
