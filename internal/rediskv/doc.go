// Package rediskv keeps tenants' state in a Redis or Valkey server: a second
// provider of hostcalls.KV, for operators who have one.
//
// All of a tenant lies under keys with one hash tag, so that a cluster keeps it on one
// server, and every change is one Lua script, which the server runs alone. What is
// acknowledged is as durable as the server makes it: without "appendonly yes" and
// "appendfsync always" a power cut loses writes, and so does a failover to a replica,
// as Redis replicates behind its answers.
package rediskv
