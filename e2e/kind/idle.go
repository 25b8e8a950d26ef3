package kind

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Footprint is what Causeway's own processes of one cluster cost.
type Footprint struct {
	Processes   int
	PSSMiB      float64 // sum of the proportional set sizes
	CorePercent float64 // of one core, over the time between two looks
}

// probe prints, for each process of ours in the node: pid, PSS in KiB, and the CPU
// time of its control group (version 1 or 2) in nanoseconds; a tick is too coarse.
const probe = `for p in /proc/[0-9]*; do
  c=$(tr '\0' ' ' <$p/cmdline 2>/dev/null) || continue
  case "$c" in /causeway-operator\ *|/causeway-gateway\ *|*/causeway-operator\ --*|*/causeway-gateway\ --*)
    pss=$(awk '/^Pss:/ {print $2}' $p/smaps_rollup) || continue
    v1=$(awk -F: '$2 ~ /cpuacct/ {print $3}' $p/cgroup); v2=$(awk -F: '$1 == 0 {print $3}' $p/cgroup)
    if [ -n "$v1" ]; then used=$(cat /sys/fs/cgroup/cpuacct$v1/cpuacct.usage) || continue
    else used=$(awk '/^usage_usec/ {print $2*1000}' /sys/fs/cgroup$v2/cpu.stat) || continue; fi
    echo "${p#/proc/} $pss $used";;
  esac
done`

// Measure looks twice, a period apart.
func (l *Lab) Measure(ctx context.Context, cluster string, period time.Duration) (Footprint, error) {
	before, _, err := l.look(ctx, cluster)
	if err != nil {
		return Footprint{}, err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return Footprint{}, ctx.Err()
	case <-time.After(period): // the measurement's own length
	}
	after, kib, err := l.look(ctx, cluster)
	if err != nil {
		return Footprint{}, err
	}
	out := Footprint{Processes: len(after), PSSMiB: kib / 1024}
	for pid, used := range after {
		out.CorePercent += 100 * (used - before[pid]) / float64(time.Since(began).Nanoseconds())
	}
	return out, nil
}

// look returns the CPU time in ns of each process, and the sum of their PSS in KiB.
func (l *Lab) look(ctx context.Context, cluster string) (map[string]float64, float64, error) {
	text, err := l.Exec(ctx, cluster, "bash", "-c", probe)
	if err != nil {
		return nil, 0, err
	}
	cpu, kib := map[string]float64{}, 0.0
	for line := range strings.Lines(text) {
		var pid string
		var pss, used float64
		if _, err := fmt.Sscan(line, &pid, &pss, &used); err != nil {
			return nil, 0, fmt.Errorf("reading %s of node %s: %w", strconv.Quote(line), cluster, err)
		}
		cpu[pid], kib = used, kib+pss
	}
	if len(cpu) == 0 {
		return nil, 0, fmt.Errorf("no process of Causeway's runs in cluster %s", cluster)
	}
	return cpu, kib, nil
}
