;; Keeps the request's body under the request's path.
(module
  (import "env" "hostcall_req_get_path" (func $path (param i32 i32 i32)))
  (import "env" "hostcall_req_get_body" (func $body (param i32 i32 i32)))
  (import "env" "hostcall_kvstore_insert" (func $insert (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run")
    (call $path (i32.const 0) (i32.const 4) (i32.const 0))
    (call $body (i32.const 8) (i32.const 12) (i32.const 0))
    (drop (call $insert (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.load (i32.const 12))))))
