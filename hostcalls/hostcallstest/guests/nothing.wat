;; The smallest guest. It has no memory.
(module (func (export "run")))
