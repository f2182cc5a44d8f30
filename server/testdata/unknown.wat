;; Imports what no host has.
(module
  (import "env" "hostcall_make_coffee" (func))
  (memory (export "memory") 1)
  (func (export "run")))
