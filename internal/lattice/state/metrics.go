package state

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
)

// operation is one of hostcalls.KV.
type operation int

const (
	doGet operation = iota
	doPut
	doDelete
	doList
	operations
)

// result is what came of an operation.
type result int

const (
	resDone result = iota
	resAbsent
	resConflict
	resFull
	resFailed
	results
)

// metrics have no label that a tenant could widen.
type metrics struct {
	operations               [operations][results]prometheus.Counter
	duration                 [operations]prometheus.Observer // of those that a server answered
	memory, older            prometheus.Counter              // reads from memory; reads of an older copy than was wanted
	barriers, barriersFailed prometheus.Counter
	resent, leaders          prometheus.Counter
	resyncs                  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Store) (*metrics, error) {
	ops := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_state_operations_total", Help: "Operations on tenants' state at this edge, by what came of them.",
	}, []string{"operation", "result"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "terrane_state_operation_duration_seconds", Help: "Time that operations took, reads from memory excepted.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"operation"})
	barriers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_state_proofs_total", Help: "Barrier writes, which prove to strict reads that a majority is there, by what came of them.",
	}, []string{"result"})
	m := &metrics{
		memory: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_state_memory_reads_total", Help: "Reads that were answered from memory.",
		}),
		older: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_state_stale_reads_total", Help: "Reads that made do with an older copy, as nothing newer was in reach.",
		}),
		resent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_state_writes_resent_total", Help: "Writes that were sent again, as no answer came.",
		}),
		leaders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_state_leader_changes_total", Help: "Changes of the edge that leads the state, as far as this edge has seen them.",
		}),
		resyncs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_state_resyncs_total", Help: "Times that this edge's copy was damaged and made again from the others'.",
		}),
		barriers: barriers.WithLabelValues("done"), barriersFailed: barriers.WithLabelValues("failed"),
	}
	for op, name := range [operations]string{"get", "put", "delete", "list"} {
		m.duration[op] = duration.WithLabelValues(name)
		for res, what := range [results]string{"done", "absent", "conflict", "full", "failed"} {
			m.operations[op][res] = ops.WithLabelValues(name, what)
		}
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(ops), reg.Register(duration), reg.Register(barriers), reg.Register(m.memory), reg.Register(m.older),
		reg.Register(m.resent), reg.Register(m.leaders), reg.Register(m.resyncs), reg.Register(collector{s}))
}

// count counts an operation.
func (m *metrics) count(op operation, err error) {
	res := resFailed
	switch {
	case err == nil:
		res = resDone
	case errors.Is(err, hostcalls.ErrNotFound):
		res = resAbsent
	case errors.Is(err, hostcalls.ErrConflict):
		res = resConflict
	case errors.Is(err, hostcalls.ErrFull):
		res = resFull
	}
	m.operations[op][res].Inc()
}

// timed counts an operation that a server has answered, or not.
func (m *metrics) timed(op operation, begun time.Time, err error) {
	m.duration[op].Observe(time.Since(begun).Seconds())
	m.count(op, err)
}

// Status is what an edge knows of the state.
type Status struct {
	Complete bool   `json:"complete"`         // all keys are known: before that nothing is written or listed
	Tenants  int    `json:"tenants"`          // that have keys
	Keys     int    `json:"keys"`             // of all tenants
	Bytes    int64  `json:"bytes"`            // as quotas count them
	Cached   int64  `json:"cached"`           // bytes of values in memory
	Behind   uint64 `json:"behind"`           // writes that home had when it was asked last, and lists do not
	Leader   string `json:"leader,omitempty"` // the edge that decides on writes, in a cluster
	Damage   string `json:"damage,omitempty"` // what is wrong with what is kept, and what to do
	Lost     int    `json:"lost,omitempty"`   // entries that were acknowledged and are missing

	Differs  string    `json:"differs,omitempty"` // which edges have what this one lacks
	Compared time.Time `json:"compared,omitzero"` // when this edge's copy was last found complete
}

// Status returns the state of now. It waits for nothing.
func (s *Store) Status() Status {
	x := s.keys()
	var st Status
	st.Complete = x.IsLoaded()
	if d := s.damage(); d != nil {
		st.Complete, st.Damage, st.Lost = false, d.Error(), d.loss.Len()
	}
	if at, home := x.Last(), s.home.Load(); home > at {
		st.Behind = home - at
	}
	if leader := s.leader.Load(); leader != nil {
		st.Leader = *leader
	}
	s.guard.mu.Lock()
	st.Compared = s.guard.scanned
	s.guard.mu.Unlock()
	st.Differs = s.comparer.Difference()
	st.Cached = s.cache.Size()
	for _, t := range x.Tenants() {
		keys, bytes := t.Usage(s.now())
		st.Keys += keys
		st.Bytes += bytes
		if keys > 0 {
			st.Tenants++
		}
	}
	return st
}

// collector reads the metrics when they are asked for.
type collector struct{ s *Store }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Status()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(prometheus.NewDesc("terrane_state_tenants", "Tenants that have keys.", nil, nil), float64(st.Tenants))
	gauge(prometheus.NewDesc("terrane_state_keys_count", "Keys of all tenants.", nil, nil), float64(st.Keys))
	gauge(prometheus.NewDesc("terrane_state_kept_bytes", "What quotas count of all tenants.", nil, nil), float64(st.Bytes))
	gauge(prometheus.NewDesc("terrane_state_lost_count", "Entries that were acknowledged and are missing.", nil, nil), float64(st.Lost))
	gauge(prometheus.NewDesc("terrane_state_intact_ok", "1 unless something is wrong with what is kept.", nil, nil), one(st.Damage == ""))
	gauge(prometheus.NewDesc("terrane_state_same_ok", "1 unless another edge has entries that this one lacks.", nil, nil), one(st.Differs == ""))
	gauge(prometheus.NewDesc("terrane_state_cached_bytes", "Values in memory.", nil, nil), float64(st.Cached))
	gauge(prometheus.NewDesc("terrane_state_behind_count", "Writes that home had when it was asked last, and lists at this edge lack.", nil, nil), float64(st.Behind))
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
