package members

import "github.com/prometheus/client_golang/prometheus"

// collector reads the metrics when they are asked for.
type collector struct{ m *Members }

func liveDesc() *prometheus.Desc {
	return prometheus.NewDesc("terrane_lattice_members_count", "Members of the cluster, by whether they are live.", []string{"live"}, nil)
}

func copiesDesc() *prometheus.Desc {
	return prometheus.NewDesc("terrane_lattice_copies_count", "Copies that lack nothing, by what they are of.", []string{"what"}, nil)
}

func missingDesc() *prometheus.Desc {
	return prometheus.NewDesc("terrane_lattice_copies_missing_count", "Copies that are wanted and not there, or behind, by what they are of.", []string{"what"}, nil)
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- liveDesc()
	ch <- copiesDesc()
	ch <- missingDesc()
}

// Collect implements prometheus.Collector. Streams that are not terrane's have no labels.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.m.Status()
	if s.At.IsZero() {
		return
	}
	gauge := func(d *prometheus.Desc, v int, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), label)
	}
	gauge(liveDesc(), s.live(), "true")
	gauge(liveDesc(), len(s.Members)-s.live(), "false")
	for i := range s.Copies {
		copies := &s.Copies[i]
		if kind(copies.Stream) == "" {
			continue
		}
		current := copies.Current()
		gauge(copiesDesc(), current, copies.What)
		gauge(missingDesc(), max(copies.Wanted, len(copies.At))-current, copies.What)
	}
}
