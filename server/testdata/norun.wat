;; Has no entry.
(module (memory (export "memory") 1) (func (export "walk")))
