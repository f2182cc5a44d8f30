;; Calls a host function that fails.
(module (import "test" "fail" (func $fail)) (func $caller (call $fail)) (func (export "run") (call $caller)))
