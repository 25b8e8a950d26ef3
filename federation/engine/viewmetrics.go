package engine

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// viewMetrics show the last round's View. They are made at each look from one immutable
// value, so that no look sees half of a round, and a peer that has left is gone with the
// round that lost it. What is said of peers, the leader alone says: a standby's word would
// be a second, worse one.
type viewMetrics struct {
	shown                                     atomic.Pointer[View] // nil before the first round
	leading, gateways, routes, storeAge       *prometheus.Desc
	verdict, verdictAge, info, rtt, recordAge *prometheus.Desc
	regions                                   legMetrics
}

// Every verdict has a series, so that 0 is said as well as 1.
func verdictKinds() []federation.VerdictKind {
	return []federation.VerdictKind{
		federation.Reachable, federation.LinkDown, federation.GatewayDown, federation.ControlPlaneDown,
		federation.ClusterDown, federation.Draining, federation.Unknown,
	}
}

func newViewMetrics() *viewMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &viewMetrics{
		leading:    desc("causeway_engine_leading", "1 while this replica leads."),
		gateways:   desc("causeway_engine_gateways", "Local gateway replicas that are connected."),
		routes:     desc("causeway_engine_routes", "Imported service ports with a route."),
		storeAge:   desc("causeway_policystore_age_seconds", "Time since the policy store last proved that what we hold is current."),
		verdict:    desc("causeway_liveness_verdict", "1 for the verdict that stands on a peer cluster, 0 for the others.", "peer", "verdict"),
		verdictAge: desc("causeway_liveness_verdict_age_seconds", "How long the verdict on a peer cluster has stood.", "peer"),
		info:       desc("causeway_engine_verdict_info", "1 for the verdict that stands on a peer cluster, with its cause in one word.", "peer", "region", "verdict", "cause"),
		rtt:        desc("causeway_liveness_rtt_seconds", "Smoothed round trip to a peer cluster's nearest gateway.", "peer", "region"),
		recordAge:  desc("causeway_engine_record_age_seconds", "Age of the oldest health record held of a peer cluster.", "peer", "region"),
		regions:    newLegMetrics(),
	}
}

// Describe lists all that Collect may send.
func (m *viewMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.leading, m.gateways, m.routes, m.storeAge, m.verdict, m.verdictAge, m.info, m.rtt, m.recordAge,
		m.regions.rtt, m.regions.estimate, m.regions.jitter, m.regions.loss,
	} {
		ch <- d
	}
}

// Collect shows the last round.
func (m *viewMetrics) Collect(ch chan<- prometheus.Metric) {
	v := m.shown.Load()
	if v == nil {
		return
	}
	show := gauge(ch)
	show(m.leading, flag(v.Leading))
	show(m.gateways, float64(connected(v.Gateways)))
	show(m.routes, float64(len(v.Decisions)))
	if v.Store.Age > 0 { // 0: it has proved nothing yet
		show(m.storeAge, v.Store.Age.Seconds())
	}
	if !v.Leading {
		return
	}
	for _, one := range v.Members {
		if !one.Self {
			m.peer(show, one, v.RecordAges)
		}
	}
	m.regions.collect(show, v)
}

// shower sends one value of a metric with its labels.
type shower func(d *prometheus.Desc, value float64, labels ...string)

func gauge(ch chan<- prometheus.Metric) shower {
	return func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
}

// peer is what is said of one member. Records of a cluster that has left may be held for
// a while: they are not shown.
func (m *viewMetrics) peer(show shower, one MemberView, ages map[federation.ClusterName]time.Duration) {
	name, region := string(one.Name), string(one.Region)
	for _, k := range verdictKinds() {
		show(m.verdict, flag(one.Verdict.Kind == k), name, string(k))
	}
	show(m.info, 1, name, region, string(one.Verdict.Kind), one.Verdict.Reason)
	show(m.verdictAge, one.Verdict.Age.Seconds(), name)
	if one.Verdict.RTT > 0 {
		show(m.rtt, one.Verdict.RTT.Seconds(), name, region)
	}
	if age, held := ages[one.Name]; held {
		show(m.recordAge, age.Seconds(), name, region)
	}
}

func connected(gateways []GatewayView) int {
	n := 0
	for _, g := range gateways {
		if g.Connected {
			n++
		}
	}
	return n
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
