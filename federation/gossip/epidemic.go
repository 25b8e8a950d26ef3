package gossip

import (
	"math"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// rumour names a batch that the epidemic carries. It is looked up when it is sent, so
// that its age is right and one that a snapshot has replaced is told no more.
type rumour struct {
	owner   federation.ClusterName
	version federation.Version
}

// epidemic is the set of rumours still to be told, each some times more. It is
// memberlist's TransmitLimitedQueue without its copies of the bytes. It holds at most
// maxRumours.
type epidemic struct {
	told  map[rumour]int
	order []rumour
}

func (e *epidemic) add(r rumour) {
	if e.told == nil {
		e.told = map[rumour]int{}
	}
	if _, ok := e.told[r]; !ok {
		if len(e.order) >= maxRumours {
			delete(e.told, e.order[0])
			e.order = e.order[1:]
		}
		e.order = append(e.order, r)
	}
	e.told[r] = 0
}

// maxRumours bounds what waits to be told; the longest told goes first.
const maxRumours = 4096

// retransmits is how often each member tells a rumour among n members.
func retransmits(n int) int { return 3 * int(math.Ceil(math.Log10(float64(n+1)))) }

// take returns messages of at most limit bytes together, the least told first;
// each takes overhead bytes more. text returning nil means that the rumour is moot.
func (e *epidemic) take(overhead, limit, times int, text func(rumour) []byte) [][]byte {
	var out [][]byte
	slices.SortStableFunc(e.order, func(a, b rumour) int { return e.told[a] - e.told[b] })
	keep := e.order[:0]
	for _, r := range e.order {
		if limit <= overhead {
			keep = append(keep, r)
			continue
		}
		m := text(r)
		switch {
		case m == nil:
			delete(e.told, r)
			continue
		case len(m)+overhead <= limit:
			limit -= len(m) + overhead
			out = append(out, m)
			e.told[r]++
		}
		if e.told[r] >= times {
			delete(e.told, r)
			continue
		}
		keep = append(keep, r)
	}
	e.order = keep
	return out
}
