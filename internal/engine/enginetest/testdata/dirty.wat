;; Answers with what it finds in its state, added up, and leaves dirt everywhere: in its data, its
;; first memory, what it has grown, a global, and what its start section has counted.
(module
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 3)
  (data (i32.const 70000) "\07")
  (global $g (mut i64) (i64.const 35))
  (global $starts (mut i32) (i32.const 0))
  (func $init (global.set $starts (i32.add (global.get $starts) (i32.const 1))))
  (start $init)
  (func (export "run") (local $sum i32) (local $p i32)
    (local.set $sum (i32.add (memory.size) (i32.add (i32.wrap_i64 (global.get $g)) (i32.mul (global.get $starts) (i32.const 1000)))))
    (global.set $g (i64.const -1))
    (drop (memory.grow (i32.const 4)))
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $p))))
      (i32.store8 (local.get $p) (i32.const 255))
      (local.set $p (i32.add (local.get $p) (i32.const 509)))
      (br_if $l (i32.lt_u (local.get $p) (i32.const 458752))))
    (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.const 70000))))
    (i32.store8 (i32.const 70000) (i32.const 9))
    (i32.store (i32.const 0) (local.get $sum))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 4)))))
