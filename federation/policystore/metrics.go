package policystore

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests  *prometheus.CounterVec
	refused   *prometheus.CounterVec
	relists   *prometheus.CounterVec
	connected prometheus.Gauge
	revision  prometheus.Gauge
	rewound   prometheus.Gauge
	noSpace   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_policystore_requests_total",
			Help: "Requests to the policy store by operation and result (Connected is a success).",
		}, []string{"operation", "result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_policystore_refused_values_total",
			Help: "Values read from the store and refused, by reason (unsigned, seal, untrusted, author, malformed); the last good one of the key stays.",
		}, []string{"reason"}),
		relists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_policystore_full_reads_total",
			Help: "Full reads of the store by cause (start, compacted, rewound, trust).",
		}, []string{"cause"}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_policystore_connected_ratio",
			Help: "1 while the watch stands.",
		}),
		revision: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_policystore_revision_count",
			Help: "The store's revision that the state stands for.",
		}),
		rewound: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_policystore_rewound_ratio",
			Help: "1 while the store is refused because it went back, or is another one than before.",
		}),
		noSpace: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_policystore_no_space_ratio",
			Help: "1 while the store takes no writes because its quota is used up.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.refused, m.relists, m.connected, m.revision, m.rewound, m.noSpace}
}

// unregister takes the metrics out again, so that a Store with other settings can follow.
func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all() {
		reg.Unregister(c)
	}
}
