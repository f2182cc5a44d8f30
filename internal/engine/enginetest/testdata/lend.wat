;; The host calls functions of the table that is not exported, grows the memory that is not
;; exported, and finds what is there.
(module
  (import "test" "probe" (func $probe))
  (memory 1 3)
  (table 3 funcref)
  (elem (i32.const 0) $double $store)
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $store (export "store") (param i32) (i32.store (i32.const 8) (local.get 0)))
  (func (export "run") (call $probe)))
