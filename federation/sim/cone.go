package sim

import "time"

// cone is how new what each reader can know of each cluster is at best: the newest
// moment of the cluster from which word could have come to the reader over ways that
// were open, by any number of others. Delay is left out, so it errs to the new side.
type cone struct {
	n    int
	know [][]time.Duration
}

func newCone(n int) *cone {
	c := &cone{n: n, know: make([][]time.Duration, n)}
	for i := range c.know {
		c.know[i] = make([]time.Duration, n)
	}
	return c
}

// forget is a reader that begins with nothing.
func (c *cone) forget(reader int) { clear(c.know[reader]) }

// spread brings the cone to now.
func (c *cone) spread(now time.Duration, speaks func(int) bool, open func(from, to int) bool) {
	for i := range c.n {
		if speaks(i) {
			c.know[i][i] = now
		}
	}
	for changed := true; changed; {
		changed = false
		for from := range c.n {
			for to := range c.n {
				if from != to && speaks(from) && speaks(to) && open(from, to) {
					changed = c.tell(from, to) || changed
				}
			}
		}
	}
}

func (c *cone) tell(from, to int) (news bool) {
	for of := range c.n {
		if c.know[from][of] > c.know[to][of] {
			c.know[to][of], news = c.know[from][of], true
		}
	}
	return news
}
