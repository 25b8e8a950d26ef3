package sim

import "time"

// clean is since when each pair has had nothing wrong: ways, gateways and operators of
// both. What the invariants promise, they promise some time after that.
type clean struct {
	all    [][]time.Duration // everything between two clusters
	path   [][]time.Duration // the data path alone
	gossip [][]time.Duration // the ways between two living operators
	broken [][]time.Duration // since when the data path has not been whole; 0 while it is
	late   time.Duration     // when the world was last lossy or slow
}

func newClean(n int) *clean {
	c := &clean{}
	for range n {
		c.all = append(c.all, make([]time.Duration, n))
		c.path = append(c.path, make([]time.Duration, n))
		c.gossip = append(c.gossip, make([]time.Duration, n))
		c.broken = append(c.broken, make([]time.Duration, n))
	}
	return c
}

func (c *clean) update(w *World, now time.Duration) {
	for _, f := range w.plan.Faults {
		if (f.Kind == Slow || f.Kind == Lossy) && f.At <= now && now <= f.end()+step {
			c.late = now
		}
	}
	for a := range c.all {
		for b := range c.all {
			if a != b {
				c.pair(w, a, b, now)
			}
		}
	}
}

func (c *clean) pair(w *World, a, b int, now time.Duration) {
	good, _ := w.tunnels.stands(a, b, now)
	switch {
	case !good:
		c.path[a][b] = now
		if c.broken[a][b] == 0 {
			c.broken[a][b] = now
		}
	default:
		c.broken[a][b] = 0
	}
	heard := w.lives(a) && w.lives(b) && w.clusters[a].seat.born+step < now && w.hears(a, b) && w.hears(b, a)
	if !heard {
		c.gossip[a][b] = now
	}
	if !heard || !good {
		c.all[a][b] = now
	}
}

// around says for how long a has had word of b by way of a third cluster.
func (c *clean) around(a, b int, now time.Duration) (longest time.Duration) {
	for via := range c.gossip {
		if via != a && via != b {
			longest = max(longest, now-max(c.gossip[a][via], c.gossip[via][b]))
		}
	}
	return longest
}

// whole is for how long nothing has been wrong between a and b, as of now.
func (c *clean) whole(a, b int, now time.Duration) time.Duration { return now - c.all[a][b] }

// carried is for how long the data path has been whole.
func (c *clean) carried(a, b int, now time.Duration) time.Duration { return now - c.path[a][b] }

// severed is for how long the data path has been broken; 0 while it is not.
func (c *clean) severed(a, b int, now time.Duration) time.Duration {
	if c.broken[a][b] == 0 {
		return 0
	}
	return now - c.broken[a][b]
}

// punctual says whether the network has been neither lossy nor slow for so long.
func (c *clean) punctual(d, now time.Duration) bool { return c.late == 0 || now-c.late >= d }
