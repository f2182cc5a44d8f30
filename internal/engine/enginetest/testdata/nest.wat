;; The host calls function 0 of the table, which calls the host, without end.
(module
  (import "test" "call" (func $call (param i32) (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $again)
  (func $again (param i32) (result i32) (call $call (i32.const 0)))
  (func (export "run") (drop (call $call (i32.const 0)))))
