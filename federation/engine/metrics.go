package engine

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// part collects from whichever registry the current incarnation of a part uses:
// parts come and go, their metrics must not collide.
type part struct {
	current atomic.Pointer[prometheus.Registry]
}

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

func (p *part) set(r *prometheus.Registry) { p.current.Store(r) }

// Describe sends nothing: the collector is unchecked, as its content changes.
func (p *part) Describe(chan<- *prometheus.Desc) {}

// Collect passes on what the current part has.
func (p *part) Collect(ch chan<- prometheus.Metric) {
	if r := p.current.Load(); r != nil {
		r.Collect(ch)
	}
}

// metrics are what the engine counts itself; what it only shows is in viewMetrics.
type metrics struct {
	store, gossip part
	view          *viewMetrics
	rounds        prometheus.Histogram
	failovers     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		view: newViewMetrics(),
		rounds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "causeway_engine_round_seconds", Help: "Time of one round: verdicts, routing, publication.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_engine_failovers_total",
			Help: "Moves of an imported service port's traffic to another cluster, as the leader decided them: which it left, and why.",
		}, []string{"service", "from", "to", "cause"}),
	}
	if reg != nil {
		reg.MustRegister(&m.store, &m.gossip, m.view, m.rounds, m.failovers)
	}
	return m
}

func (m *metrics) round(v *View, took time.Duration) {
	m.rounds.Observe(took.Seconds())
	m.view.shown.Store(v)
}

// moved counts failovers, after round. Only the leader decides any: one that has stepped
// down goes on computing, and would count each a second time. A port that is no longer
// imported keeps its counts.
func (m *metrics) moved(fs []failover) {
	if v := m.view.shown.Load(); v == nil || !v.Leading {
		return
	}
	for _, f := range fs {
		m.failovers.WithLabelValues(f.port.String(), string(f.from), string(f.to), f.cause).Inc()
	}
}
