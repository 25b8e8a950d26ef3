package load

import (
	"context"
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Result is what became of one request.
type Result struct {
	Scheduled time.Time
	Latency   time.Duration // from the scheduled moment to the end
	Served    string        // who answered: "cluster/pod"
	Err       error
}

// Do makes one request and says who answered.
type Do func(ctx context.Context) (served string, err error)

// Recorder runs requests at a fixed rate.
type Recorder struct {
	Every   time.Duration // pause between scheduled moments
	Timeout time.Duration // bound of one request
	Do      Do
	// OnResult is called for each result as it ends, from several goroutines. Optional.
	OnResult func(Result)

	mu      sync.Mutex
	results []Result
}

// Run schedules requests until ctx ends, then waits for those under way.
func (r *Recorder) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	next := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		at := next
		wg.Go(func() { r.one(context.WithoutCancel(ctx), at) })
		next = next.Add(r.Every)
		timer.Reset(time.Until(next))
	}
}

func (r *Recorder) one(ctx context.Context, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	served, err := r.Do(ctx)
	result := Result{Scheduled: at, Latency: time.Since(at), Served: served, Err: err}
	r.mu.Lock()
	r.results = append(r.results, result)
	r.mu.Unlock()
	if r.OnResult != nil {
		r.OnResult(result)
	}
}

// Results are all that have ended, by scheduled moment.
func (r *Recorder) Results() []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.results)
	Sort(out)
	return out
}

// Sort orders results by scheduled moment.
func Sort(results []Result) {
	slices.SortFunc(results, func(a, b Result) int { return a.Scheduled.Compare(b.Scheduled) })
}

// Recovery is the time from a fault to the scheduled moment of the first of n
// consecutive requests that all succeed within limit. False if there is no such
// row (BENCHMARKS B7's definition of recovery).
func Recovery(results []Result, fault time.Time, n int, limit time.Duration) (time.Duration, bool) {
	run := 0
	for i, r := range results {
		if r.Scheduled.Before(fault) {
			continue
		}
		if r.Err != nil || r.Latency > limit {
			run = 0
			continue
		}
		if run++; run == n {
			return results[i-n+1].Scheduled.Sub(fault), true
		}
	}
	return 0, false
}

// Quantile is the q-quantile (0 to 1, nearest rank) of the latencies of
// successful requests; 0 without any.
func Quantile(results []Result, q float64) time.Duration {
	var ok []time.Duration
	for _, r := range results {
		if r.Err == nil {
			ok = append(ok, r.Latency)
		}
	}
	if len(ok) == 0 {
		return 0
	}
	slices.Sort(ok)
	return ok[max(0, int(math.Ceil(q*float64(len(ok))))-1)]
}

// Between are the results scheduled in [from, to).
func Between(results []Result, from, to time.Time) []Result {
	var out []Result
	for _, r := range results {
		if !r.Scheduled.Before(from) && r.Scheduled.Before(to) {
			out = append(out, r)
		}
	}
	return out
}

// Failed counts the failures.
func Failed(results []Result) int {
	n := 0
	for _, r := range results {
		if r.Err != nil {
			n++
		}
	}
	return n
}

// WriteCSV keeps the samples: milliseconds since start, latency, who served, error.
func WriteCSV(w io.Writer, start time.Time, results []Result) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"scheduled_ms", "latency_ms", "served", "error"}}
	for _, r := range results {
		problem := ""
		if r.Err != nil {
			problem = r.Err.Error()
		}
		rows = append(rows, []string{millis(r.Scheduled.Sub(start)), millis(r.Latency), r.Served, problem})
	}
	return out.WriteAll(rows)
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 3, 64)
}
