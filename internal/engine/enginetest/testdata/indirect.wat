(module (table 2 funcref) (type $t (func)) (func (export "run") (call_indirect (type $t) (i32.const 1))))
