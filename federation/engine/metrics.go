package engine

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
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

type metrics struct {
	store, gossip part
	rounds        prometheus.Histogram
	verdict       *prometheus.GaugeVec
	verdictAge    *prometheus.GaugeVec
	rtt           *prometheus.GaugeVec
	info          *prometheus.GaugeVec
	region        legMetrics
	recordAge     *prometheus.GaugeVec
	failovers     *prometheus.CounterVec
	storeAge      prometheus.Gauge
	leading       prometheus.Gauge
	gateways      prometheus.Gauge
	routes        prometheus.Gauge
}

var verdictKinds = []federation.VerdictKind{
	federation.Reachable, federation.LinkDown, federation.GatewayDown, federation.ControlPlaneDown,
	federation.ClusterDown, federation.Draining, federation.Unknown,
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		rounds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "causeway_engine_round_seconds", Help: "Time of one round: verdicts, routing, publication.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		verdict: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_liveness_verdict", Help: "1 for the verdict that stands on a peer cluster, 0 for the others.",
		}, []string{"peer", "verdict"}),
		verdictAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_liveness_verdict_age_seconds", Help: "How long the verdict on a peer cluster has stood.",
		}, []string{"peer"}),
		rtt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_liveness_rtt_seconds", Help: "Smoothed round trip to a peer cluster's nearest gateway.",
		}, []string{"peer", "region"}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_engine_verdict_info", Help: "1 for the verdict that stands on a peer cluster, with its cause in one word.",
		}, []string{"peer", "region", "verdict", "cause"}),
		region: newLegMetrics(),
		recordAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_engine_record_age_seconds", Help: "Age of the oldest health record held of a peer cluster.",
		}, []string{"peer", "region"}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_engine_failovers_total",
			Help: "Moves of an imported service port's traffic to another cluster, as this operator decided them: which it left, and why.",
		}, []string{"service", "from", "to", "cause"}),
		storeAge: gauge("causeway_policystore_age_seconds", "Time since the policy store last proved that what we hold is current."),
		leading:  gauge("causeway_engine_leading", "1 while this replica leads."),
		gateways: gauge("causeway_engine_gateways", "Local gateway replicas that are connected."),
		routes:   gauge("causeway_engine_routes", "Imported service ports with a route."),
	}
	if reg != nil {
		reg.MustRegister(&m.store, &m.gossip, m.rounds, m.verdict, m.verdictAge, m.rtt, m.info, m.recordAge, m.failovers, m.storeAge, m.leading, m.gateways, m.routes)
		m.region.register(reg)
	}
	return m
}

func (m *metrics) round(v *View, took time.Duration) {
	m.rounds.Observe(took.Seconds())
	m.storeAge.Set(v.Store.Age.Seconds())
	m.leading.Set(flag(v.Leading))
	m.routes.Set(float64(len(v.Decisions)))
	connected := 0
	for _, g := range v.Gateways {
		if g.Connected {
			connected++
		}
	}
	m.gateways.Set(float64(connected))
	m.verdict.Reset()
	m.verdictAge.Reset()
	m.rtt.Reset()
	m.info.Reset()
	m.recordAge.Reset()
	m.region.set(v)
	for _, one := range v.Members {
		if one.Self {
			continue
		}
		for _, k := range verdictKinds {
			m.verdict.WithLabelValues(string(one.Name), string(k)).Set(flag(one.Verdict.Kind == k))
		}
		if age, held := v.RecordAges[one.Name]; held {
			m.recordAge.WithLabelValues(string(one.Name), string(one.Region)).Set(age.Seconds())
		}
		m.info.WithLabelValues(string(one.Name), string(one.Region), string(one.Verdict.Kind), one.Verdict.Reason).Set(1)
		m.verdictAge.WithLabelValues(string(one.Name)).Set(one.Verdict.Age.Seconds())
		if one.Verdict.RTT > 0 {
			m.rtt.WithLabelValues(string(one.Name), string(one.Region)).Set(one.Verdict.RTT.Seconds())
		}
	}
}

// moved counts failovers. A port that is no longer imported keeps its counts.
func (m *metrics) moved(fs []failover) {
	for _, f := range fs {
		m.failovers.WithLabelValues(f.port.String(), string(f.from), string(f.to), f.cause).Inc()
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
