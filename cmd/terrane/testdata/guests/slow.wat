;; Logs "begun", waits for a second and answers with the name of the edge.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_edge_name" (func $edge (param i32 i32)))
  (import "env" "hostcall_log" (func $log (param i32 i32 i32)))
  (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "begun")
  (func (export "run")
    (call $log (i32.const 1) (i32.const 16) (i32.const 5))
    (i32.store (i32.const 80) (i32.const 1)) ;; the monotonic clock, behind userdata and the tag
    (i64.store (i32.const 88) (i64.const 1000000000))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 200)))
    (call $edge (i32.const 0) (i32.const 4))
    (drop (call $set (i32.const 0) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
