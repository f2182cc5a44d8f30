package hostcalls_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// post keeps what is sent.
type post struct {
	sent []hostcalls.Message
	err  error
}

func (p *post) Publish(_ context.Context, m *hostcalls.Message) error {
	p.sent = append(p.sent, *m)
	return p.err
}

func (p *post) Request(ctx context.Context, m *hostcalls.Message) (*hostcalls.Response, error) {
	return &hostcalls.Response{Code: 201, Header: http.Header{"X-A": {"1"}}, Body: []byte("answer")}, p.Publish(ctx, m)
}

// send calls one of the functions with a subject and a message.
func (b *bench) send(function, subject, message string) int32 {
	s, sn := b.put(subject)
	m, mn := b.put(message)
	return b.status(function, s, sn, m, mn)
}

func TestMessages(t *testing.T) {
	p := &post{}
	req := request()
	req.Hops = 2
	b := newBench(t, &hostcalls.Tenant{Messages: p}, req)
	if got := b.send("publish", "orders.new", "7"); got != 0 {
		t.Fatalf("publish: %d, log %q", got, b.log.lines)
	}
	h := b.send("request", "orders.ask", "8")
	if h < 1 {
		t.Fatalf("request: %d, log %q", h, b.log.lines)
	}
	if code := b.status("resp_get_response_code", uint32(h)); code != 201 {
		t.Errorf("the answer's status is %d", code)
	}
	if len(p.sent) != 2 || p.sent[0].Subject != "orders.new" || string(p.sent[0].Body) != "7" || p.sent[0].Hops != 3 || string(p.sent[1].Body) != "8" {
		t.Errorf("sent %+v", p.sent)
	}
	p.err = errors.New("nobody is there")
	for function, want := range map[string]string{"publish": "nobody is there", "request": "nobody is there"} {
		if got := b.send(function, "orders.new", "7"); got != -1 || !b.log.has(want) {
			t.Errorf("%s that fails: %d, log %q", function, got, b.log.lines)
		}
	}
}

// TestMessagesRefused: what is refused never reaches the provider.
func TestMessagesRefused(t *testing.T) {
	p := &post{}
	tn := &hostcalls.Tenant{Messages: p}
	tn.Limits.Subrequests = 2
	b := newBench(t, tn, request())
	for subject, want := range map[string]string{"": "want tokens", "orders.*": "want tokens", "a b": "want tokens"} {
		if got := b.send("publish", subject, "7"); got != -1 || !b.log.has(want) {
			t.Errorf("publish %q: %d, log %q", subject, got, b.log.lines)
		}
	}
	if len(p.sent) != 0 {
		t.Fatalf("sent %d", len(p.sent))
	}
	for i, want := range []int32{0, 0, -1} {
		if got := b.send("publish", "orders.new", "7"); got != want {
			t.Errorf("message %d of 2: %d, want %d", i+1, got, want)
		}
	}
	b = newBench(t, &hostcalls.Tenant{}, request())
	if got := b.send("request", "orders.new", "7"); got != -1 || !b.log.has("no messages") {
		t.Errorf("without a provider: %d, log %q", got, b.log.lines)
	}
}
