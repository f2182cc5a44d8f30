;; Waits in a host function that ends with the request.
(module
  (import "test" "wait" (func $wait))
  (func (export "run") (call $wait)))
