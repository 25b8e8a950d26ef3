package tunnel

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the tunnels' own. A nil *Metrics counts nothing.
type Metrics struct {
	dials   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	unknown prometheus.Counter
	changes *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_tunnel_dials_total", Help: "Tunnels dialled to peer gateways, by peer cluster, purpose and outcome.",
		}, []string{"cluster", "purpose", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "causeway_tunnel_dial_seconds", Help: "TCP connect and TLS handshake together, of those that succeeded.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .4, .8, 1.6},
		}, []string{"cluster"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_tunnel_unknown_frames_total", Help: "Frames of a type that this version does not know, skipped.",
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_tunnel_path_changes_total", Help: "Changes of a path's state, by peer cluster and new state.",
		}, []string{"cluster", "state"}),
	}
	reg.MustRegister(m.dials, m.seconds, m.unknown, m.changes)
	return m
}

func (m *Metrics) dialled(k Key, p Purpose, took time.Duration, err error) {
	if m == nil {
		return
	}
	purpose, outcome := "data", "ok"
	if p == ForBeats {
		purpose = "beats"
	}
	if err != nil {
		outcome = "failed"
	} else {
		m.seconds.WithLabelValues(string(k.Cluster)).Observe(took.Seconds())
	}
	m.dials.WithLabelValues(string(k.Cluster), purpose, outcome).Inc()
}

// UnknownFrame counts a frame that was skipped; it is a Hooks.OnUnknown.
func (m *Metrics) UnknownFrame(Type) {
	if m != nil {
		m.unknown.Inc()
	}
}

func (m *Metrics) changed(k Key, state string) {
	if m != nil {
		m.changes.WithLabelValues(string(k.Cluster), state).Inc()
	}
}
