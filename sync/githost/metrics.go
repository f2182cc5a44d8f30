package githost

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	pushes *prometheus.CounterVec
	logins *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_githost_pushes_total", Help: "Pushes to repositories kept here, by what became of them.",
		}, []string{"store", "result"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_githost_refused_logins_total", Help: "Logins refused, by way.",
		}, []string{"way"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.pushes), r.Register(m.logins))
}
