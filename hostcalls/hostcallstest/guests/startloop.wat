;; A start section that never ends.
(module
  (memory 1)
  (start $start)
  (func $start (loop $again (br $again)))
  (func (export "run")))
