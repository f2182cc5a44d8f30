;; Takes all memory that it gets and writes to every byte of it. Answers with the pages that it
;; began with, and what it found in them and in those that it took.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1 48)
  (func (export "run") (local $n i32)
    (local.set $n (i32.add (memory.size) (i32.load8_u (i32.const 65535))))
    (block $full
      (loop $more
        (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
        (local.set $n (i32.add (local.get $n) (i32.load8_u (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1)))))
        (br $more)))
    (memory.fill (i32.const 0) (i32.const 255) (i32.shl (memory.size) (i32.const 16)))
    (i32.store (i32.const 0) (local.get $n))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 4)))))
