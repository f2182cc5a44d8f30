;; Fills all its memory for ever.
(module
  (memory 512)
  (func (export "run") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 33554432)) (br $l))))
