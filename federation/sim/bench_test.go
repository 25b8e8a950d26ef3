//go:build bench && !race

package sim

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var (
	hours    = flag.Float64("hours", 1, "virtual hours of TestBenchFalseVerdicts")
	clusters = flag.Int("clusters", 12, "its clusters")
	samples  = flag.String("samples", "", "folder in which each false verdict is kept; empty keeps none")
)

// TestBenchFalseVerdicts prints how often an operator is wrong about one that is up, at
// 5 % loss, in the world of one seed. hack/bench-false-verdicts.sh runs as many as there
// are cores: one core carries one bubble further than two do.
func TestBenchFalseVerdicts(t *testing.T) {
	q := Quiet{Seed: max(1, *seed), Clusters: *clusters, Loss: 0.05, Length: time.Duration(*hours * float64(time.Hour))}
	count, keep := 0, keeper(t, fmt.Sprintf("false-verdicts-%d-seed-%d.csv", q.Clusters, q.Seed))
	var began time.Duration
	q.Began = func() { began = cpu() }
	synctest.Test(t, func(t *testing.T) {
		err := q.Run(t, func(f FalseVerdict) { count++; keep(f) })
		if err != nil {
			t.Error(err)
		}
	})
	fmt.Printf("false_verdicts_%d_virtual_hours %.3f h\n", q.Clusters, q.Length.Hours())
	fmt.Printf("false_verdicts_%d_speed %.1f s/s\n", q.Clusters, q.Length.Seconds()/(cpu()-began).Seconds())
	fmt.Printf("false_verdicts_%d %d verdicts\n", q.Clusters, count)
}

// cpu is what the process has used: unlike the clock, others on the machine do not bend it.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// keeper writes false verdicts as they come: a world may run for an hour, and somebody
// may want to look.
func keeper(t *testing.T, name string) func(FalseVerdict) {
	t.Helper()
	if *samples == "" {
		return func(FalseVerdict) {}
	}
	if err := os.MkdirAll(*samples, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(*samples, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	table := csv.NewWriter(file)
	put := func(row ...string) {
		_ = table.Write(row)
		table.Flush()
		if err := table.Error(); err != nil {
			t.Error(err)
		}
	}
	put("at_s", "reader", "subject", "verdict", "reason", "cause")
	return func(f FalseVerdict) {
		at := strconv.FormatFloat(f.At.Seconds(), 'f', 3, 64)
		put(at, string(f.Reader), string(f.Subject), string(f.Kind), f.Reason, f.Cause)
	}
}
