package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// healthMetrics shows what this cluster says of its own service ports, straight from
// the View: what is not known has no series. Its own ports only, so that their number
// does not grow with the federation's.
type healthMetrics struct {
	view                            func() *View
	ready, capacity, load, failures *prometheus.Desc
}

func newHealthMetrics(view func() *View) *healthMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("causeway_engine_service_"+name, help, []string{"service"}, nil)
	}
	return &healthMetrics{
		view:     view,
		ready:    desc("ready_endpoints", "Ready endpoints of an exported service port of this cluster."),
		capacity: desc("capacity", "Weight of the ready endpoints of an exported service port of this cluster."),
		load:     desc("load_ratio", "Connections in flight at an exported service port of this cluster, as a part of what its ready endpoints bear; may exceed 1."),
		failures: desc("errors_ratio", "Part of the peers' streams to an exported service port of this cluster that failed at its endpoints over the last 10 s, 0 to 1."),
	}
}

// Describe tells what Collect may send.
func (m *healthMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.ready, m.capacity, m.load, m.failures} {
		ch <- d
	}
}

// Collect reads the View.
func (m *healthMetrics) Collect(ch chan<- prometheus.Metric) {
	for port, h := range m.view().Own {
		service := port.String()
		send := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, service)
		}
		ratio := func(d *prometheus.Desc, v federation.Measure) {
			if v.Known {
				send(d, float64(v.PerMille)/1000)
			}
		}
		send(m.ready, float64(h.Ready))
		send(m.capacity, float64(h.Capacity))
		ratio(m.load, h.Load)
		ratio(m.failures, h.Errors)
	}
}
