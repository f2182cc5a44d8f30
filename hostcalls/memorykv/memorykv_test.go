package memorykv_test

import (
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/kvtest"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

func TestStore(t *testing.T) {
	kvtest.Run(t, func(*testing.T) hostcalls.KV { return memorykv.New(hostcalls.Quota{}) })
}

func TestBounds(t *testing.T) {
	kvtest.RunQuota(t, func(_ *testing.T, q hostcalls.Quota) hostcalls.KV { return memorykv.New(q) })
}
