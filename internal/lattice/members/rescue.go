package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const collectTime = 2 * time.Second // of what all servers answer

// rescue lets the edges that are there elect a leader without a majority, for as long as
// the lost ones take to be forgotten (NATS bounds it by five minutes).
func (m *Members) rescue(ctx context.Context, lost string) error {
	var live []string
	err := m.collect(ctx, "$SYS.REQ.SERVER.PING.JSZ", struct{}{}, func(data []byte) error {
		var answer struct {
			Server struct {
				Name string `json:"name"`
			} `json:"server"`
			Data struct {
				Meta *struct{} `json:"meta_cluster"`
			} `json:"data"`
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return err
		}
		if answer.Data.Meta != nil {
			live = append(live, answer.Server.Name)
		}
		if answer.Server.Name == lost {
			return fmt.Errorf("%s: %w", lost, ErrHeard)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.log.Warn("edges of the cluster elect a leader without a majority", "edges", strings.Join(live, ", "), "lost", lost)
	var refused error
	agreed := 0
	err = m.collect(ctx, "$JS.API.META.RESCUE", map[string]int{"quorum_needed": len(live)}, func(data []byte) error {
		var answer struct {
			Server string `json:"server"`
			Error  *struct {
				Description string `json:"description"`
			} `json:"error"`
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return err
		}
		if answer.Error != nil {
			refused = errors.Join(refused, fmt.Errorf("%s: %s", answer.Server, answer.Error.Description))
		} else {
			agreed++
		}
		return nil
	})
	if err == nil && agreed == 0 {
		err = fmt.Errorf("no edge takes part in an election without a majority: %w", errors.Join(refused, errNoLeader))
	}
	return err
}

// collect asks all servers of the cluster, and hands their answers on until none comes any
// more.
func (m *Members) collect(ctx context.Context, subject string, question any, each func(data []byte) error) error {
	conn, err := m.o.Lattice.System(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	sub, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone then
	if err := conn.PublishMsg(&nats.Msg{Subject: subject, Reply: sub.Subject, Data: data}); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, collectTime)
	defer cancel()
	for {
		reply, err := sub.NextMsgWithContext(within)
		if err != nil {
			return ctx.Err() // who has not answered is not there
		}
		if err := each(reply.Data); err != nil {
			return err
		}
	}
}
