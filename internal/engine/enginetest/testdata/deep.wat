;; Recurses 1,000 times and comes back, 100 times over: the stack's bound must count returns.
(module
  (func $down (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
  (func (export "run") (local i32)
    (loop $l
      (if (i32.ne (call $down (i32.const 1000)) (i32.const 1000)) (then unreachable))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (i32.ne (local.get 0) (i32.const 100))))))
