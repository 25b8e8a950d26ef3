package rollout

import (
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Spot is where something is measured: a policy's target, in one cluster that has the new
// version. The engine measures it there at the clients' end if it can, and else at the
// serving end.
type Spot struct {
	Cluster federation.ClusterName
	Service federation.ServiceName
}

// Reading is the newest measurement of one Spot.
type Reading struct {
	// Errors is the part of the streams of the last 10 s that failed; of several ports of
	// a service, the worst.
	Errors federation.Measure
	// Latency is how long the acceptance of a connection took, p99; 0 is unknown.
	Latency time.Duration
	// Version tells a new measurement from one that was counted; as in the record that
	// it comes from, its Sequence begins with 1.
	Version federation.Version
}

// What a gate takes to fail. A rollout is taken back by measurements in a row that are
// worse than the plan allows, one cluster's of one service, GateStreak or more from first
// to last: two at least. Those of the first GateSettle after a cluster came to have the
// new version are left out: they tell of the time before.
const (
	GateSettle = 10 * time.Second
	GateStreak = 5 * time.Second
	// GateTime is how long a wave is watched at least if the plan has a gate.
	GateTime = GateSettle + 2*GateStreak
)

func gated(plan federation.RolloutPlan) bool { return plan.MaxErrors.Known || plan.MaxLatency > 0 }

// quantity is what a gate bounds.
type quantity string

const (
	errorRate quantity = "error rate"
	latency   quantity = "latency"
)

// measured is one quantity in one place.
type measured struct {
	Spot
	quantity
}

func (m measured) String() string {
	return fmt.Sprintf("%s of %s in %s", m.quantity, m.Service, m.Cluster)
}

// streak are bad measurements in a row. version is the last one's, good or bad.
type streak struct {
	readings int
	began    time.Duration
	version  federation.Version
	failed   bool // they are enough
}

// failure is a gate that did not let a rollout pass.
type failure struct {
	measured
	value, bound string
	readings     int
}

func (f failure) sentence(r federation.Rollout) string {
	back := "no version holds now"
	if r.From != 0 {
		back = fmt.Sprintf("generation %d holds everywhere", r.From)
	}
	return fmt.Sprintf("the %s is %s, above %s, in %d measurements in a row: generation %d is taken back, %s",
		f.measured, f.value, f.bound, f.readings, r.To, back)
}

// judge counts new measurements and gives the first gate that fails.
func (c change) judge(w *watch) (failure, bool) {
	for _, name := range reached(*c.p.Rollout, w.wave, c.in.Members) {
		if at, has := w.there[name]; !has || c.now-at < GateSettle {
			continue
		}
		for _, q := range quantities(*c.p.Rollout) {
			for _, service := range c.p.Targets {
				if f, failed := c.count(w, measured{Spot{name, service}, q}); failed {
					return f, true
				}
			}
		}
	}
	return failure{}, false
}

// quantities are those that the plan bounds.
func quantities(plan federation.RolloutPlan) []quantity {
	var out []quantity
	if plan.MaxErrors.Known {
		out = append(out, errorRate)
	}
	if plan.MaxLatency > 0 {
		out = append(out, latency)
	}
	return out
}

// count takes one place's measurement into account, once.
func (c change) count(w *watch, m measured) (failure, bool) {
	reading, s := c.in.Readings[m.Spot], w.streaks[m]
	if reading.Version == (federation.Version{}) {
		delete(w.streaks, m) // not in a row any more
		return failure{}, false
	}
	if !reading.Version.Newer(s.version) {
		// Nothing new; what has failed has failed still, as when the decision was not written.
		f := c.compare(m, reading)
		f.readings = s.readings
		return f, f.value != "" && s.failed
	}
	s.version = reading.Version
	f := c.compare(m, reading)
	switch {
	case f.value == "":
		s.readings = 0
	case s.readings == 0:
		s.readings, s.began = 1, c.now
	default:
		s.readings++
	}
	s.failed = s.readings > 0 && c.now-s.began >= GateStreak
	w.streaks[m] = s
	f.readings = s.readings
	return f, s.failed
}

// compare gives a failure with a value if the reading is worse than the plan allows.
func (c change) compare(m measured, reading Reading) failure {
	plan := *c.p.Rollout
	switch {
	case m.quantity == errorRate && reading.Errors.Known && reading.Errors.PerMille > plan.MaxErrors.PerMille:
		return failure{measured: m, value: percent(reading.Errors.PerMille), bound: percent(plan.MaxErrors.PerMille)}
	case m.quantity == latency && reading.Latency > plan.MaxLatency:
		return failure{measured: m, value: reading.Latency.String(), bound: plan.MaxLatency.String()}
	}
	return failure{}
}

func percent(perMille uint16) string { return fmt.Sprintf("%.1f%%", float64(perMille)/10) }

// unknown are the measurements that the plan bounds and nobody has.
func (c change) unknown(clusters []federation.ClusterName) []string {
	var out []string
	for _, q := range quantities(*c.p.Rollout) {
		for _, name := range clusters {
			for _, service := range c.p.Targets {
				reading := c.in.Readings[Spot{name, service}]
				if q == errorRate && !reading.Errors.Known || q == latency && reading.Latency == 0 {
					out = append(out, measured{Spot{name, service}, q}.String())
				}
			}
		}
	}
	return out
}
