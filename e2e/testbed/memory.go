package testbed

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// sampleEvery is the time between two readings of memory: short enough to see a
// start-up's peak, long enough to cost nothing.
const sampleEvery = time.Second

// meter keeps the peak of the memory of all processes.
type meter struct{ peakKiB atomic.Uint64 }

// PeakMiB is the highest sum so far of the proportional set sizes of all started
// processes and this one, in MiB (rss_total_mib).
func (w *World) PeakMiB() uint64 {
	w.sample()
	return w.meter.peakKiB.Load() / 1024
}

func (w *World) sample() {
	total := pssKiB(os.Getpid())
	for _, p := range w.procs.running() {
		total += pssKiB(p.PID())
	}
	for {
		old := w.meter.peakKiB.Load()
		if total <= old || w.meter.peakKiB.CompareAndSwap(old, total) {
			return
		}
	}
}

func (w *World) measure(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.sample()
		}
	}
}

// pssKiB is a process's proportional set size; zero when it has just ended.
func pssKiB(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	return parsePSS(b)
}

func parsePSS(b []byte) uint64 {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if f := bytes.Fields(lines.Bytes()); len(f) == 3 && string(f[0]) == "Pss:" {
			n, _ := strconv.ParseUint(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}
