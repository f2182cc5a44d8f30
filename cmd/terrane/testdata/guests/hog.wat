;; Takes all the memory that it gets, writes to each page, waits for 300 ms and answers
;; with the number of its pages.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (local $from i32)
    (loop $more
      (local.set $from (memory.grow (i32.const 16)))
      (if (i32.ne (local.get $from) (i32.const -1)) (then
        (memory.fill (i32.shl (local.get $from) (i32.const 16)) (i32.const 1) (i32.const 1048576))
        (br $more))))
    (i32.store (i32.const 80) (i32.const 1)) ;; the monotonic clock, behind userdata and the tag
    (i64.store (i32.const 88) (i64.const 300000000))
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 200)))
    (i32.store (i32.const 0) (memory.size))
    (drop (call $set (i32.const 0) (i32.const 0) (i32.const 4)))))
