;; A guest without a memory hands out a pointer, and traps for it.
(module
  (import "env" "hostcall_req_get_path" (func $get_path (param i32 i32 i32)))
  (func (export "run") (call $get_path (i32.const 0) (i32.const 4) (i32.const 0))))
