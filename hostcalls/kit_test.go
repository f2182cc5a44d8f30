package hostcalls_test

import (
	"context"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/hostcallstest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func TestKit(t *testing.T) {
	e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	hostcallstest.Run(t, hostcallstest.Engine(e))
}
