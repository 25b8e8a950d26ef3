package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
)

type figure struct {
	name  string
	value float64
	unit  string
}

func printFigures(figures []figure) {
	for _, f := range figures {
		fmt.Printf("%s %s %s\n", f.name, strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", f.value), "0"), "."), f.unit)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func clusterOf(served string) string {
	cluster, _, _ := strings.Cut(served, "/")
	return cluster
}

// figures computes everything from the samples. "In time" is twice the p99 of the
// backup region once it serves alone: the last three seconds of the outage.
func (d *demo) figures(requests []load.Result, established *load.Session, fault, healed time.Time, back bool) []figure {
	steady := load.Between(requests, healed.Add(-settled), healed)
	limit := 2 * load.Quantile(steady, 0.99)
	during := load.Between(requests, fault, healed)
	failover, ok := load.Recovery(during, fault, inARow, limit)
	d.promise(ok, "no %d requests in a row succeeded within %s during the outage", inARow, limit)
	d.promise(!ok || failover <= 2*time.Second, "failover took %s, more than 2 s", failover)

	requests, interrupted := apart(requests, fault)
	failed := load.Failed(requests)
	d.promise(failed == 0, "%d requests on new connections failed", failed)
	strange := answeredBy(steady, healed, func(c string) bool { return c != backup })
	d.promise(len(strange) == 0, "%d requests were answered by another cluster than %s during the outage of %s", len(strange), backup, lost)
	strange = answeredBy(load.Between(requests, time.Time{}, fault), fault, func(c string) bool { return c != lost })
	d.promise(len(strange) == 0, "%d requests were answered by another cluster while %s, the first of the policy's order, was well", len(strange), lost)
	d.promise(back, "%s did not get its traffic back within 30 s", lost)
	failback := firstServed(requests, healed, lost)
	recovery, recovered := established.Recovery(fault)
	d.promise(recovered, "the established connection did not recover")
	return []figure{
		{"failover_ms", ms(failover), "ms"},
		{"in_time_limit_ms", ms(limit), "ms"},
		{"established_recovery_ms", ms(recovery), "ms"},
		{"failed_requests", float64(failed), "count"},
		{"interrupted_requests", float64(established.Interrupted() + interrupted), "count"},
		{"requests", float64(len(requests) + interrupted), "count"},
		{"failback_ms", ms(failback), "ms"},
	}
}

// answeredBy are the requests that one of the given clusters answered before a moment:
// what was still open then may have been replayed.
func answeredBy(requests []load.Result, before time.Time, cluster func(string) bool) (out []load.Result) {
	for _, r := range requests {
		if r.Err == nil && r.Scheduled.Add(r.Latency).Before(before) && cluster(clusterOf(r.Served)) {
			out = append(out, r)
		}
	}
	return out
}

// apart takes out the failed requests whose connection was open when the region
// died: begun before, ended after. Their endpoint had them and died with them;
// no gateway may send them again (DESIGN decision 9).
func apart(requests []load.Result, fault time.Time) (rest []load.Result, interrupted int) {
	for _, r := range requests {
		if r.Err != nil && r.Scheduled.Before(fault) && r.Scheduled.Add(r.Latency).After(fault) {
			interrupted++
			continue
		}
		rest = append(rest, r)
	}
	return rest, interrupted
}

// firstServed is the time from a moment to the scheduled moment of the first
// request after it that a cluster answered.
func firstServed(requests []load.Result, from time.Time, cluster string) time.Duration {
	for _, r := range requests {
		if !r.Scheduled.Before(from) && r.Err == nil && clusterOf(r.Served) == cluster {
			return r.Scheduled.Sub(from)
		}
	}
	return 0
}
