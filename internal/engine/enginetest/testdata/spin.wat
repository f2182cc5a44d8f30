(module
  (func $forever (loop $l (br $l)))
  (func (export "run") (call $forever)))
