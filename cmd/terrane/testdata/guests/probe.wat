;; Does what the request's body says: a byte that names a function, the length of a key in two
;; bytes, the key, and a value. It answers with what the function gives.
(module
  (import "env" "hostcall_req_get_body" (func $body (param i32 i32 i32)))
  (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_send_chunk" (func $chunk (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_get_body" (func $answer (param i32 i32 i32)))
  (import "env" "hostcall_env_get" (func $env (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_log" (func $log (param i32 i32 i32)))
  (import "env" "hostcall_publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_get_version" (func $version (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_list" (func $list (param i32 i32 i32 i32 i32 i32 i32)))
  (import "env" "hostcall_kvstore_insert" (func $insert (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_upsert" (func $upsert (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_append" (func $append (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_put" (func $put (param i32 i32 i32 i32 i64 i32) (result i64)))
  (import "env" "hostcall_kvstore_increment" (func $increment (param i32 i32 i64 i32 i32) (result i32)))
  (import "env" "hostcall_kvstore_remove" (func $remove (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (local $op i32) (local $k i32) (local $kn i32) (local $v i32) (local $vn i32) (local $h i32)
    (call $body (i32.const 0) (i32.const 4) (i32.const 0))
    (if (i32.lt_u (i32.load (i32.const 4)) (i32.const 3)) (then (return)))
    (local.set $op (i32.load8_u (i32.load (i32.const 0))))
    (local.set $kn (i32.load16_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (local.set $k (i32.add (i32.load (i32.const 0)) (i32.const 3)))
    (local.set $v (i32.add (local.get $k) (local.get $kn)))
    (local.set $vn (i32.sub (i32.sub (i32.load (i32.const 4)) (i32.const 3)) (local.get $kn)))
    (i64.store (i32.const 8) (i64.const 0)) ;; what is found, and its length
    (if (i32.eq (local.get $op) (i32.const 103)) ;; g
      (then (drop (call $get (i32.const 8) (i32.const 12) (local.get $k) (local.get $kn)))))
    (if (i32.eq (local.get $op) (i32.const 118)) ;; v
      (then (drop (call $version (i32.const 8) (i32.const 12) (i32.const 24) (local.get $k) (local.get $kn)))))
    (if (i32.eq (local.get $op) (i32.const 101)) ;; e
      (then (drop (call $env (i32.const 8) (i32.const 12) (local.get $k) (local.get $kn)))))
    (if (i32.eq (local.get $op) (i32.const 113)) (then ;; q
      (local.set $h (call $request (local.get $k) (local.get $kn) (local.get $v) (local.get $vn)))
      (if (i32.ge_s (local.get $h) (i32.const 0)) (then (call $answer (i32.const 8) (i32.const 12) (local.get $h))))))
    (if (i32.eq (local.get $op) (i32.const 108)) (then ;; l, sorted behind the value
      (call $list (i32.const 16) (i32.const 20) (local.get $k) (local.get $kn) (local.get $v) (local.get $vn) (i32.const 1000))
      (local.set $h (i32.const 0))
      (loop $next
        (if (i32.lt_u (local.get $h) (i32.load (i32.const 20))) (then
          (local.set $k (i32.add (i32.load (i32.const 16)) (i32.mul (local.get $h) (i32.const 8))))
          (drop (call $chunk (i32.const 0) (i32.load (local.get $k)) (i32.load offset=4 (local.get $k))))
          (local.set $h (i32.add (local.get $h) (i32.const 1)))
          (br $next))))
      (return)))
    (if (i32.eq (local.get $op) (i32.const 111)) ;; o
      (then (call $log (i32.const 1) (local.get $v) (local.get $vn))))
    (if (i32.eq (local.get $op) (i32.const 112)) ;; p
      (then (drop (call $publish (local.get $k) (local.get $kn) (local.get $v) (local.get $vn)))))
    (if (i32.eq (local.get $op) (i32.const 105)) ;; i
      (then (drop (call $insert (local.get $k) (local.get $kn) (local.get $v) (local.get $vn)))))
    (if (i32.eq (local.get $op) (i32.const 117)) ;; u
      (then (drop (call $upsert (local.get $k) (local.get $kn) (local.get $v) (local.get $vn)))))
    (if (i32.eq (local.get $op) (i32.const 97)) ;; a
      (then (drop (call $append (local.get $k) (local.get $kn) (local.get $v) (local.get $vn)))))
    (if (i32.eq (local.get $op) (i32.const 119)) ;; w, over any version
      (then (drop (call $put (local.get $k) (local.get $kn) (local.get $v) (local.get $vn) (i64.const -1) (i32.const 0)))))
    (if (i32.eq (local.get $op) (i32.const 110)) ;; n
      (then (drop (call $increment (local.get $k) (local.get $kn) (i64.const 1) (i32.const 0) (i32.const 24)))))
    (if (i32.eq (local.get $op) (i32.const 114)) ;; r
      (then (drop (call $remove (local.get $k) (local.get $kn)))))
    (if (i32.load (i32.const 12))
      (then (drop (call $set (i32.const 0) (i32.load (i32.const 8)) (i32.load (i32.const 12))))))))
