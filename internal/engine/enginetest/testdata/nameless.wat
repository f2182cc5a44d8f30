;; Imports two functions; function 2 traps, and has no name.
(module
  (import "env" "hostcall_rng_next_u64" (func (result i64)))
  (import "test" "wait" (func))
  (func unreachable)
  (func (export "run") (call 2)))
