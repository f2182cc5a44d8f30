;; Copies a passive segment, which it then drops.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1)
  (data $d "abcd")
  (func (export "run")
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4))
    (data.drop $d)
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 4)))))
