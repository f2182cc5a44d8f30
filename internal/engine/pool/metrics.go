package pool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a pool. The zero value registers nothing.
type metrics struct {
	registry  prometheus.Registerer
	all       []prometheus.Collector
	instances prometheus.Counter
}

// Compilations counts what an engine compiles.
func Compilations() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "terrane_engine_compilations_total",
		Help: "Modules compiled; all others that were made ready had their code on disk.",
	})
}

// Register makes the pool's metrics, and more of its engine, known to r, unless that is nil.
func (p *Pool[T]) Register(r prometheus.Registerer, more ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	p.metrics.registry = r
	p.metrics.all = append(more, p.metrics.instances, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_engine_idle_bytes",
		Help: "Memory that idle instances hold.",
	}, func() float64 { return float64(p.Size()) }))
	var errs []error
	for _, c := range p.metrics.all {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// Unregister undoes Register.
func (p *Pool[T]) Unregister() {
	for _, c := range p.metrics.all {
		p.metrics.registry.Unregister(c)
	}
}

// Created counts an instance that was made anew.
func (p *Pool[T]) Created() { p.metrics.instances.Inc() }
