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

// probe prints, for each process of ours in the node: pid, PSS in KiB, CPU ticks.
const probe = `for p in /proc/[0-9]*; do
  c=$(tr '\0' ' ' <$p/cmdline 2>/dev/null) || continue
  case "$c" in /causeway-operator\ *|/causeway-gateway\ *|*/causeway-operator\ --*|*/causeway-gateway\ --*)
    pss=$(awk '/^Pss:/ {print $2}' $p/smaps_rollup) || continue
    ticks=$(sed 's/.*) //' $p/stat | awk '{print $12+$13}') || continue
    echo "${p#/proc/} $pss $ticks";;
  esac
done`

// ticksPerSecond is USER_HZ, which Linux fixes at 100 on every architecture it shows.
const ticksPerSecond = 100

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
	for pid, ticks := range after {
		out.CorePercent += 100 * (ticks - before[pid]) / ticksPerSecond / time.Since(began).Seconds()
	}
	return out, nil
}

// look returns the CPU ticks of each process, and the sum of their PSS in KiB.
func (l *Lab) look(ctx context.Context, cluster string) (map[string]float64, float64, error) {
	text, err := l.Exec(ctx, cluster, "bash", "-c", probe)
	if err != nil {
		return nil, 0, err
	}
	ticks, kib := map[string]float64{}, 0.0
	for line := range strings.Lines(text) {
		var pid string
		var pss, used float64
		if _, err := fmt.Sscan(line, &pid, &pss, &used); err != nil {
			return nil, 0, fmt.Errorf("reading %s of node %s: %w", strconv.Quote(line), cluster, err)
		}
		ticks[pid], kib = used, kib+pss
	}
	if len(ticks) == 0 {
		return nil, 0, fmt.Errorf("no process of Causeway's runs in cluster %s", cluster)
	}
	return ticks, kib, nil
}
