;; Asks for 4 GiB and takes the refusal badly.
(module
  (memory 1)
  (func (export "run") (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
