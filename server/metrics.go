package server

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/engine"
)

// metrics are counted by fields that are looked up once, not by label per request.
type metrics struct {
	requests [6]prometheus.Counter // by the first digit of the status; 0: others
	duration prometheus.Histogram
	traps    map[engine.TrapKind]prometheus.Counter
	rejects  map[string]prometheus.Counter

	forwarded, unreached prometheus.Counter
	abandoned            prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Server) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_server_requests_total", Help: "Requests answered, by class of status.",
	}, []string{"code"})
	traps := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_server_traps_total", Help: "Guests that did not return.",
	}, []string{"kind"})
	rejects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_server_rejected_total", Help: "Requests refused for want of room.",
	}, []string{"reason"})
	forwards := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_server_forwarded_total", Help: "Requests for sites that live in other regions, by what came of it.",
	}, []string{"result"})
	m := &metrics{
		forwarded: forwards.WithLabelValues("answered"), unreached: forwards.WithLabelValues("unreached"),
		abandoned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_server_abandoned_total", Help: "Transfers that were ended because the visitor was too slow.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "terrane_server_request_duration_seconds", Help: "Time from a request's head to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		traps: map[engine.TrapKind]prometheus.Counter{
			engine.TrapFault:    traps.WithLabelValues("fault"),
			engine.TrapDeadline: traps.WithLabelValues("deadline"),
			engine.TrapMemory:   traps.WithLabelValues("memory"),
			engine.TrapExit:     traps.WithLabelValues("exit"),
		},
		rejects: map[string]prometheus.Counter{},
	}
	for i, class := range [len(m.requests)]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		m.requests[i] = requests.WithLabelValues(class)
	}
	for _, why := range []string{"rate", "concurrency", "buffers", "files", "region", "memory"} {
		m.rejects[why] = rejects.WithLabelValues(why)
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(
		reg.Register(requests), reg.Register(m.duration), reg.Register(traps), reg.Register(rejects), reg.Register(forwards), reg.Register(m.abandoned),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_in_flight_count", Help: "Requests being answered.",
		}, func() float64 { return float64(s.inFlight.Load()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_buffer_bytes", Help: "Bytes of bodies held.",
		}, func() float64 { return float64(s.bodies.Used()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_open_files_count", Help: "Large files that are being sent.",
		}, func() float64 { return float64(s.files.Used()) })),
	)
}

func (m *metrics) finished(code int, took time.Duration) {
	class := code / 100
	if class >= len(m.requests) {
		class = 0
	}
	m.requests[class].Inc()
	m.duration.Observe(took.Seconds())
}

func (m *metrics) trapped(kind engine.TrapKind) {
	if c, ok := m.traps[kind]; ok {
		c.Inc()
	}
}

func (m *metrics) rejected(why string) { m.rejects[why].Inc() }
