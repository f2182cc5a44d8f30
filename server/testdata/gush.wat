;; Sends chunks for ever, whether they can be sent or not.
(module
  (import "env" "hostcall_resp_send_chunk" (func $send (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $gush (export "run")
    (loop $l
      (drop (call $send (i32.const 0) (i32.const 0) (i32.const 65536)))
      (br $l))))
