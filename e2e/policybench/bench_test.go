//go:build bench

package policybench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	puts   = flag.Int("puts", 200, "single changes of each side at each number of agents; fewer than 200 give no figure")
	storms = flag.Int("storms", 3, "restarts of etcd for each side")
)

// minPuts is the load below which a quantile is not worth its name.
const minPuts = 200

func figure(name string, value float64, unit string) {
	fmt.Printf("%s %s %s\n", name, strconv.FormatFloat(value, 'f', -1, 64), unit)
}

func ms(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000 }

// ratio of two durations, in hundredths.
func ratio(a, b time.Duration) float64 { return hundredths(float64(a) / float64(b)) }

func hundredths(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }

func quantile(all []time.Duration, q float64) time.Duration {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// keep writes samples in milliseconds, with the machine's load as it is then.
func keep(t *testing.T, name string, all []time.Duration) {
	t.Helper()
	if *out == "" {
		return
	}
	values := make([]float64, len(all))
	for i, d := range all {
		values[i] = ms(d)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	data, err := json.Marshal(map[string]any{
		"name": name, "unit": "ms", "go": runtime.Version(), "cpus": runtime.NumCPU(),
		"loadavg": strings.TrimSpace(string(load)), "samples": values,
	})
	if err == nil {
		err = os.MkdirAll(*out, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*out, "policy_"+name+".json"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// interleaved runs both sides k times: ours, theirs, theirs, ours …
func interleaved(k int, ours, theirs func() time.Duration) (a, b []time.Duration) {
	for i := range k {
		if i%2 == 0 {
			a = append(a, ours())
			b = append(b, theirs())
		} else {
			b = append(b, theirs())
			a = append(a, ours())
		}
	}
	return a, b
}
