(module
  (func $inner unreachable)
  (func $outer (call $inner))
  (func (export "run") (call $outer)))
