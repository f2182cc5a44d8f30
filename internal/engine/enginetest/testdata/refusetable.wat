;; Calls a host function that fails through a table.
(module
  (import "test" "fail" (func $fail))
  (table 1 funcref)
  (elem (i32.const 0) $fail)
  (func $caller (call_indirect (i32.const 0)))
  (func (export "run") (call $caller)))
