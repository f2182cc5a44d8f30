package cron

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ done, failed, missed prometheus.Counter }

func newMetrics(reg prometheus.Registerer, c *Cron) (*metrics, error) {
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_cron_runs_total", Help: "Runs of cron lines that this edge fired, or found missed, as the leader.",
	}, []string{"result"})
	m := &metrics{done: runs.WithLabelValues("done"), failed: runs.WithLabelValues("failed"), missed: runs.WithLabelValues("missed")}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(runs),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_cron_leader_info", Help: "1 at the edge that fires the cron lines of its region.",
		}, func() float64 {
			if c.leading.Load() {
				return 1
			}
			return 0
		})),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_cron_lines_count", Help: "Cron lines that fire in this edge's region.",
		}, func() float64 { return float64(len(c.current())) })))
}
