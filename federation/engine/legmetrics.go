package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// legMetrics show the directed region × region matrix. Of several clusters in a region
// the pair with the shortest round trip stands for the pair of regions.
type legMetrics struct{ rtt, estimate, jitter, loss *prometheus.Desc }

func newLegMetrics() legMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"from", "to"}, nil)
	}
	return legMetrics{
		rtt: desc("causeway_engine_region_rtt_seconds", "Smoothed round trip from one region's gateways to another's, as the former measure it."),
		estimate: desc("causeway_engine_region_rtt_estimate_seconds",
			"Round trip between two regions of which no two clusters measure it, by network coordinates; some 10 % off."),
		jitter: desc("causeway_engine_region_jitter_seconds", "Smoothed deviation of the round trip from one region to another."),
		loss: desc("causeway_engine_region_loss_ratio",
			"Part of the TCP segments from one region's gateways to another's that had to be sent again, 0 to 1, over about 100 s."),
	}
}

// regionPair is a directed pair of regions.
type regionPair struct{ from, to federation.Region }

// regionLegs are the shortest measured legs between each two regions, or where there
// are none the shortest estimate.
func regionLegs(v *View) map[regionPair]federation.Leg {
	regions := map[federation.ClusterName]federation.Region{}
	for _, m := range v.Members {
		regions[m.Name] = m.Region
	}
	out := map[regionPair]federation.Leg{}
	for _, l := range v.Legs {
		p := regionPair{regions[l.From], regions[l.To]}
		if p.from == "" || p.to == "" || l.RTT == 0 || l.Age+v.LegsAge > legMaxAge {
			continue
		}
		held, ok := out[p]
		if !ok || held.Estimated && !l.Estimated || held.Estimated == l.Estimated && l.RTT < held.RTT {
			out[p] = l
		}
	}
	return out
}

// legMaxAge is how old a measurement may be to be shown as one of now.
const legMaxAge = 2 * time.Minute

func (m legMetrics) collect(show shower, v *View) {
	for p, l := range regionLegs(v) {
		from, to := string(p.from), string(p.to)
		if l.Estimated {
			show(m.estimate, l.RTT.Seconds(), from, to)
			continue
		}
		show(m.rtt, l.RTT.Seconds(), from, to)
		show(m.jitter, l.Jitter.Seconds(), from, to)
		show(m.loss, l.Loss, from, to)
	}
}
