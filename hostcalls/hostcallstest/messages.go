package hostcallstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/terrane/terrane/hostcalls"
)

// peers are modules that subscribe to everything but "refused.>".
type peers struct{}

// Publish implements hostcalls.Messages. It takes messages two hops away from a visitor.
func (peers) Publish(_ context.Context, m *hostcalls.Message) error {
	switch {
	case strings.HasPrefix(string(m.Subject), "refused."):
		return errors.New("nobody is there")
	case m.Hops != 3:
		return fmt.Errorf("%d hops, want 3", m.Hops)
	}
	return nil
}

// Request implements hostcalls.Messages. It answers with what was sent.
func (p peers) Request(ctx context.Context, m *hostcalls.Message) (*hostcalls.Response, error) {
	if err := p.Publish(ctx, m); err != nil {
		return nil, err
	}
	return &hostcalls.Response{
		Code: http.StatusCreated, Header: http.Header{"X-Many": {"one", "two"}},
		Body: append([]byte(m.Subject+" "), m.Body...),
	}, nil
}
