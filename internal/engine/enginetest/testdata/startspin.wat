(module
  (func $init (loop $l (br $l)))
  (start $init)
  (func (export "run")))
