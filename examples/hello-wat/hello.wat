;; The smallest useful guest. It asks nothing of the host, so it needs no
;; allocator: it only points at bytes in its own memory.
(module
  (import "env" "hostcall_resp_set_header"
    (func $set_header (param $resp i32) (param $name i32) (param $name_len i32)
                      (param $values i32) (param $values_len i32) (result i32)))
  (import "env" "hostcall_resp_set_body"
    (func $set_body (param $resp i32) (param $body i32) (param $len i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 16) "content-type")
  (data (i32.const 32) "text/plain; charset=utf-8")
  (data (i32.const 64) "Hello, world from WAT!\n")
  ;; A list of one header value: its address and its length, little endian.
  (data (i32.const 96) "\20\00\00\00" "\19\00\00\00")

  ;; terrane calls this once for each request, in a new instance.
  (func (export "run")
    (drop (call $set_header (i32.const 0)
      (i32.const 16) (i32.const 12)     ;; the name
      (i32.const 96) (i32.const 1)))    ;; the list of values
    (drop (call $set_body (i32.const 0) (i32.const 64) (i32.const 23)))))
