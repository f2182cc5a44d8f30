// Package redistest starts real Redis or Valkey servers for tests.
package redistest
