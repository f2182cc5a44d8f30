;; Exports a function of vectors, which some hosts cannot describe.
(module
  (func (export "swap") (param v128 v128) (result v128 v128) (local.get 1) (local.get 0))
  (global (export "zero") v128 (v128.const i64x2 0 0))
  (func (export "run")))
