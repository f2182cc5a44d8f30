;; Grows until it is refused and answers with the number of pages it got.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1)
  (func (export "run")
    (block $full (loop $l (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $l)))
    (i32.store (i32.const 0) (memory.size))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 4)))))
