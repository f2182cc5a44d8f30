;; Grows its table until it is refused.
(module
  (table 1 funcref)
  (func (export "run") (loop $l (br_if $l (i32.ne (table.grow 0 (ref.null func) (i32.const 10000)) (i32.const -1))))))
