;; Answers 1 if function 0 of the table is the first one, and puts another there.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1)
  (table 2 funcref)
  (type $t (func (result i32)))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (elem (i32.const 0) $one $two)
  (func (export "run")
    (i32.store (i32.const 0) (call_indirect (type $t) (i32.const 0)))
    (table.set 0 (i32.const 0) (table.get 0 (i32.const 1)))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 4)))))
