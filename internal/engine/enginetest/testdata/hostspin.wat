;; Spins over a host function.
(module
  (import "env" "hostcall_rng_next_u64" (func $rng (result i64)))
  (func (export "run") (loop $l (drop (call $rng)) (br $l))))
