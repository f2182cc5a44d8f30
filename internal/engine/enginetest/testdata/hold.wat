;; Has a MiB of memory, and waits in a host function that ends with the request.
(module
  (import "test" "wait" (func $wait))
  (memory 16)
  (func (export "run") (call $wait)))
