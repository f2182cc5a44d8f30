(module (import "test" "exit" (func $exit (param i32))) (func (export "run") (call $exit (i32.const 3))))
