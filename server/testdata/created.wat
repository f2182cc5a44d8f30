;; Answers 201 with several values of a header, and with headers that are not its own to set.
(module
  (import "env" "hostcall_resp_set_header" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $code (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-many")
  (data (i32.const 32) "one")
  (data (i32.const 40) "two")
  (data (i32.const 48) "content-length")
  (data (i32.const 64) "transfer-encoding")
  (data (i32.const 96) "chunked")
  (data (i32.const 112) "terrane-edge")
  (data (i32.const 128) "made\n")
  (data (i32.const 256) "\20\00\00\00\03\00\00\00\28\00\00\00\03\00\00\00") ;; one, two
  (data (i32.const 288) "\60\00\00\00\07\00\00\00")                         ;; chunked
  (func (export "run")
    (drop (call $code (i32.const 0) (i32.const 201)))
    (drop (call $header (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 256) (i32.const 2)))
    (drop (call $header (i32.const 0) (i32.const 48) (i32.const 14) (i32.const 256) (i32.const 1)))
    (drop (call $header (i32.const 0) (i32.const 64) (i32.const 17) (i32.const 288) (i32.const 1)))
    (drop (call $header (i32.const 0) (i32.const 112) (i32.const 12) (i32.const 256) (i32.const 1)))
    (drop (call $body (i32.const 0) (i32.const 128) (i32.const 5)))))
