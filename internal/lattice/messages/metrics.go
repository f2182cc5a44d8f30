package messages

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have no label that a tenant could widen.
type metrics struct {
	published, handled, failed, givenUp prometheus.Counter // messages that are kept
	here, elsewhere, unanswered         prometheus.Counter // requests, and runs of cron lines
}

func newMetrics(reg prometheus.Registerer, m *Messages) (*metrics, error) {
	published := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "terrane_messages_published_total", Help: "Messages of guests at this edge that were kept.",
	})
	handled := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_messages_handled_total", Help: "Kept messages that modules ran for at this edge, by what came of it.",
	}, []string{"result"})
	asked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_messages_asked_total", Help: "Requests and cron runs asked for at this edge, by who answered.",
	}, []string{"by"})
	c := &metrics{
		published: published,
		handled:   handled.WithLabelValues("done"), failed: handled.WithLabelValues("failed"), givenUp: handled.WithLabelValues("given_up"),
		here: asked.WithLabelValues("here"), elsewhere: asked.WithLabelValues("elsewhere"), unanswered: asked.WithLabelValues("nobody"),
	}
	if reg == nil {
		return c, nil
	}
	return c, errors.Join(reg.Register(published), reg.Register(handled), reg.Register(asked),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_messages_tasks_count", Help: "Messages and requests of other edges that modules run for.",
		}, func() float64 { return float64(len(m.tasks)) })))
}
