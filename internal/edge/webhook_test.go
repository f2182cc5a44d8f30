package edge_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestWebhook has an edge that hardly ever polls told of a push.
func TestWebhook(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "before")
	e := edgetest.Start(t, g.Store(time.Hour), func(e *edgetest.Edge) { e.Domain("alice.example", "terrane=/git/alice/") })
	shows := func(text string) func() bool {
		return func() bool { _, body := e.Request("alice.example", "alice.example", "/"); return body == text }
	}
	e.Await("the first release", shows("before"))
	g.Push("alice/index.html", "after")

	if code := e.Hook("guessed"); code != http.StatusUnauthorized {
		t.Errorf("a webhook with a wrong secret: %d", code)
	}
	if code := e.Hook("s3cret"); code != http.StatusAccepted {
		t.Errorf("a webhook: %d", code)
	}
	e.Await("the second release", shows("after"))
}
