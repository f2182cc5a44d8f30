package examples_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// peers hand a guest's messages to modules.
type peers struct {
	do   func(*hostcalls.Message) answer
	kept []*hostcalls.Message
}

func (p *peers) Publish(_ context.Context, m *hostcalls.Message) error {
	if m.Subject == "refused" {
		return errors.New("nobody is there")
	}
	p.kept = append(p.kept, m)
	return nil
}

func (p *peers) Request(_ context.Context, m *hostcalls.Message) (*hostcalls.Response, error) {
	if m.Subject == "refused" {
		return nil, errors.New("nobody is there")
	}
	a := p.do(m)
	return &hostcalls.Response{Code: a.code, Header: a.header, Body: []byte(a.body)}, nil
}

// messagesLibrary wants of each language's library that it sends messages.
func messagesLibrary(t *testing.T, s *site) {
	p := &peers{do: func(m *hostcalls.Message) answer {
		return answer{code: 201, body: string(m.Subject) + "=" + string(m.Body)}
	}}
	s.tenant.Messages = p
	s.get("/messages").want(t, 200, `true 201 orders.ask=8 publish "refused": nobody is there request "refused": nobody is there`)
	if len(p.kept) != 1 || p.kept[0].Subject != "orders.new" || string(p.kept[0].Body) != "7" {
		t.Errorf("published %+v", p.kept)
	}
}

// shop is its own worker: what it sends comes back to it.
func shop(t *testing.T, s *site) {
	s.do("POST", "/shop", "item=tea").contains(t, 503, "no messages here")
	log := &logged{}
	p := &peers{do: func(m *hostcalls.Message) answer {
		return s.do("POST", "/shop", string(m.Body), "Terrane-Subject", string(m.Subject))
	}}
	s.tenant.Messages, s.tenant.Logger = p, log
	for range 3 {
		s.do("POST", "/shop", "item=tea").want(t, 202, "ordered\n")
	}
	s.do("POST", "/shop", "item=gold").contains(t, 422, "no such item")
	s.get("/shop").contains(t, 200, "tea</button> 0 sold")
	if len(p.kept) != 3 {
		t.Fatalf("%d orders were published, want 3", len(p.kept))
	}
	for _, m := range append(p.kept, p.kept[0]) { // a message may come again
		p.do(m).want(t, 200, "")
	}
	p.do(&hostcalls.Message{Subject: "orders.new", Body: []byte("tea")}).want(t, 200, "")
	log.want(t, "makes no sense")
	s.get("/shop").contains(t, 200, "tea</button> 3 sold")
	s.get("/shop?item=coffee").want(t, 200, "420 cents\n")
	s.get("/shop?item=gold").want(t, 404, "no such item\n")
	s.do("GET", "/shop", "", "Terrane-Cron", "0 * * * *").want(t, 200, "")
	log.want(t, "sold so far: tea 3 coffee 0")
	manifest := read(t, "shop/terrane.toml")
	for _, m := range append(p.kept, &hostcalls.Message{Subject: "prices"}) {
		token, _, _ := strings.Cut(string(m.Subject), ".")
		if !strings.Contains(manifest, "subject = \""+token) {
			t.Errorf("shop/terrane.toml subscribes to no %q", m.Subject)
		}
	}
}
