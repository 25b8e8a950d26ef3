package gossip

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	refused    *prometheus.CounterVec
	dropped    *prometheus.CounterVec
	frames     *prometheus.CounterVec
	dials      *prometheus.CounterVec
	links      *prometheus.GaugeVec
	records    prometheus.GaugeFunc
	superseded prometheus.Counter
	throttled  *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	unsaid     prometheus.Counter
}

// The constant values of the label "reason".
const (
	refuseMalformed  = "malformed"
	refuseUnknown    = "unknown_type"
	refuseCluster    = "unknown_cluster"
	refuseNotOwner   = "not_owner"
	refuseServices   = "too_many_services"
	refuseClusters   = "too_many_clusters"
	refuseStale      = "stale_epoch"
	refuseHandshake  = "handshake"
	refuseConns      = "too_many_connections"
	refuseMember     = "unknown_member"
	refuseOversized  = "oversized"
	refuseUnsigned   = "unsigned"
	refuseSignature  = "wrong_signature"
	refuseUnknownKey = "unknown_key"
	refuseKey        = "untrusted_key"
	refuseVersion    = "unknown_version"
	refuseReplayed   = "replayed"
	dropQueueFull    = "queue_full"
	dropNoPeer       = "no_such_peer"
	dropLate         = "late"
	dropDisconnected = "disconnected"
)

func newMetrics(reg prometheus.Registerer, held func() float64) (*metrics, error) {
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_refused_total",
			Help: "Connections, messages, members and records from peers that were refused, by reason.",
		}, []string{"reason"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_packets_dropped_total",
			Help: "Packets that were dropped, by peer and reason.",
		}, []string{"cluster", "reason"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_frames_total",
			Help: "Frames by peer and direction (in, out).",
		}, []string{"cluster", "direction"}),
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_dials_total",
			Help: "Dials by peer and result (ok, error).",
		}, []string{"cluster", "result"}),
		links: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_gossip_link_up_ratio",
			Help: "1 while the outgoing link to a peer stands.",
		}, []string{"cluster"}),
		records: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "causeway_gossip_records_count",
			Help: "Health records held, tombstones included.",
		}, held),
		superseded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_gossip_superseded_total",
			Help: "Times that a peer proved a newer leader of our own cluster.",
		}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_throttled_total",
			Help: "Times that a peer sent frames faster than its budget and was read no further for a while.",
		}, []string{"cluster"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gossip_payload_bytes_total",
			Help: "Bytes of frames by direction (in, out), without what TLS and TCP add.",
		}, []string{"direction"}),
		unsaid: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_gossip_unsigned_statements_total",
			Help: "Times that a statement of our own could not be signed and was not sent.",
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
	return []prometheus.Collector{
		m.refused, m.dropped, m.frames, m.dials, m.links, m.records, m.superseded, m.throttled, m.bytes, m.unsaid,
	}
}

func (m *metrics) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }

// note counts what was refused of a batch or a beat.
func (m *metrics) note(out filing) {
	switch {
	case out.full:
		m.refuse(refuseOversized)
	case out.stale:
		m.refuse(refuseStale)
	case out.forged:
		m.refuse(refuseSignature)
	}
}

// unregister takes the metrics out again, so that a new Gossip (another reign,
// another configuration) can register its own.
func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all() {
		reg.Unregister(c)
	}
}
