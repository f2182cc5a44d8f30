(module (memory 1) (func (export "run") (i32.store (i32.const 0xfffffff0) (i32.const 1))))
