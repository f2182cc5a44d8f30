;; Computes for some milliseconds.
(module
  (func (export "run") (local i32)
    (loop $l
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (i32.ne (local.get 0) (i32.const 1000000))))))
