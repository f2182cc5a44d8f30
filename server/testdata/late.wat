;; Sends a chunk, and then two more that exceed a limit of 10 bytes.
(module
  (import "env" "hostcall_resp_send_chunk" (func $send (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "first\0a")
  (func (export "run")
    (drop (call $send (i32.const 0) (i32.const 16) (i32.const 6)))
    (drop (call $send (i32.const 0) (i32.const 16) (i32.const 6)))
    (drop (call $send (i32.const 0) (i32.const 16) (i32.const 1)))))
