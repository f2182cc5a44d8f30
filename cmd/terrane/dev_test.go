package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

func TestPortInUse(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test is over
	taken := ln.Addr().String()
	f := devFlags{http: taken, https: "127.0.0.1:0", data: t.TempDir(), logs: logFlags{format: "text"}}
	out := edgetest.NewOutput("")
	err = serveDev(context.WithoutCancel(t.Context()), t.TempDir(), &f, out, out)
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "another") {
		t.Errorf("err = %v", err)
	}
}
