package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Quiet is a world in which nothing goes wrong but that segments are lost: every verdict
// but Reachable is a false one in it. It keeps no history, so it may run for days.
type Quiet struct {
	Seed     uint64
	Clusters int
	// Loss is the part of segments that are lost, 0 to below 1.
	Loss float64
	// Length is for how long false verdicts are counted, once all have met.
	Length time.Duration
	// Began, if any, is called when counting begins.
	Began func()
}

// FalseVerdict is the moment at which a reader begins to call a cluster something else
// than Reachable, or something else again, while both and the path between them are up.
type FalseVerdict struct {
	At              time.Duration // since counting began
	Reader, Subject federation.ClusterName
	federation.Verdict
}

func (f FalseVerdict) String() string {
	return fmt.Sprintf("%s: %s calls %s %s (%s: %s)", f.At, f.Reader, f.Subject, f.Kind, f.Reason, f.Cause)
}

const (
	// meetWithin is how long all clusters of a quiet world have to call each other Reachable.
	meetWithin = 3 * time.Minute
	// quietStep is how often the world is looked at, and how often its idle paths beat.
	quietStep = time.Second
	// quietThink is the engine's tick.
	quietThink = 500 * time.Millisecond
)

// vigil takes down what readers of a quiet world conclude.
type vigil struct {
	mu    sync.Mutex
	kinds map[[2]federation.ClusterName]federation.VerdictKind // reader and subject; what is not Reachable
	from  time.Duration                                        // counting began; 0 is not yet
	found func(FalseVerdict)
}

// Run lives a quiet world through and tells found of each false verdict as it is made;
// calls do not overlap. It must be called in a synctest bubble of its own, and ends
// everything that it starts. An error is a world that was not a quiet one.
func (q Quiet) Run(t testing.TB, found func(FalseVerdict)) error {
	w := newWorld(t, q.plan())
	w.vigil = &vigil{kinds: map[[2]federation.ClusterName]federation.VerdictKind{}, found: found}
	defer w.end()
	for a := range q.Clusters { // until a seat has judged, nobody is Reachable to it
		for b := range q.Clusters {
			if a != b {
				w.vigil.kinds[[2]federation.ClusterName{clusterName(a), clusterName(b)}] = federation.Unknown
			}
		}
	}
	w.net.SetLoss(q.Loss)
	for i := range q.Clusters {
		w.begin(i)
	}
	if err := w.meet(); err != nil {
		return err
	}
	if err := w.idle(verdictSettles); err != nil {
		return err
	}
	w.vigil.begin(w.now())
	if q.Began != nil {
		q.Began()
	}
	return w.idle(q.Length)
}

// plan is a world with one service in each cluster and no fault, change or policy.
func (q Quiet) plan() Plan {
	p := Plan{Config: Config{Seed: q.Seed, Warm: meetWithin + verdictSettles, Settle: q.Length}, Clusters: q.Clusters, Gone: -1, Exports: map[federation.ServiceName][]federation.Export{}}
	rng := rand.New(rand.NewPCG(q.Seed, 0)) //nolint:gosec // a simulation
	for c := range q.Clusters {
		name := serviceName(rng.IntN(services))
		p.Exports[name] = append(p.Exports[name], federation.Export{Cluster: clusterName(c), Service: name})
	}
	return p
}

// meet waits until everybody is Reachable to everybody.
func (w *World) meet() error {
	for w.vigil.missing() > 0 {
		if w.now() > meetWithin {
			return fmt.Errorf("after %s %d pairs are not Reachable", w.now(), w.vigil.missing())
		}
		if err := w.idle(quietStep); err != nil {
			return err
		}
	}
	return nil
}

// idle lets the world go on for so long.
func (w *World) idle(d time.Duration) error {
	for end := w.now() + d; w.now() < end; {
		time.Sleep(min(quietStep, end-w.now()))
		synctest.Wait()
		w.tunnels.update(w.now())
		select {
		case err := <-w.errs:
			return err
		default:
		}
		for i := range w.clusters {
			if !w.lives(i) {
				return errors.New(string(clusterName(i)) + "'s operator has ended")
			}
		}
	}
	return nil
}

func (v *vigil) begin(now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.from = now
}

func (v *vigil) missing() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.kinds)
}

// judged takes down one round of a seat. The path and the peer of each pair are up by
// what the world knows, or the verdict may well be right.
func (v *vigil) judged(s *seat, t thought) {
	v.mu.Lock()
	defer v.mu.Unlock()
	reader := clusterName(s.cluster)
	for subject, verdict := range t.verdicts {
		pair := [2]federation.ClusterName{reader, subject}
		was, wrong := v.kinds[pair]
		switch {
		case verdict.Kind == federation.Reachable:
			if wrong {
				delete(v.kinds, pair)
			}
		case !wrong || was != verdict.Kind:
			v.kinds[pair] = verdict.Kind
			good, stood := s.w.tunnels.stands(s.cluster, number(subject), t.at)
			if v.from > 0 && good && stood > verdictSettles {
				v.found(FalseVerdict{At: t.at - v.from, Reader: reader, Subject: subject, Verdict: verdict})
			}
		}
	}
}
