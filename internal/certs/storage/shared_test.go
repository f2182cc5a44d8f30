package storage_test

import (
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/certs/certstest"
)

func TestShared(t *testing.T) {
	certstest.RunShared(t, time.Second, func(*testing.T) (a, b hostcalls.KV) {
		kv := memorykv.New(hostcalls.Quota{})
		return kv, kv
	})
}
