//go:build !race

package gossip

import (
	"time"

	dto "github.com/prometheus/client_model/go"
)

// idle measures the bytes that a node sends in a while, per second.
func (f *fleet) idle(d time.Duration) float64 {
	sum := func() (n float64) {
		for _, x := range f.nodes {
			var m dto.Metric
			if x.metrics.bytes.WithLabelValues("out").Write(&m) == nil {
				n += m.GetCounter().GetValue()
			}
		}
		return n
	}
	before := sum()
	time.Sleep(d)
	return (sum() - before) / d.Seconds() / float64(len(f.nodes))
}
