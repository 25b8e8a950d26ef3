package gossip

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"

	"github.com/causeway-mesh/causeway/federation"
)

// coordinates place every cluster in a space in which distance is round-trip time, so
// that a pair that nobody of ours measures has an estimate too: Vivaldi (Dabek et al.,
// SIGCOMM 2004) as serf has it. A member's coordinate comes with its answers to SWIM's
// probes. It is a hint like others' legs: for estimates that are shown, never for
// verdicts.
type coordinates struct {
	client *coordinate.Client

	mu     sync.Mutex
	others map[federation.ClusterName]*coordinate.Coordinate
}

func newCoordinates() (*coordinates, error) {
	client, err := coordinate.NewClient(coordinate.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return &coordinates{client: client, others: map[federation.ClusterName]*coordinate.Coordinate{}}, nil
}

var _ memberlist.PingDelegate = (*coordinates)(nil)

// AckPayload is our own coordinate, for the member that probes us.
func (c *coordinates) AckPayload() []byte { return encodeCoordinate(c.client.GetCoordinate()) }

// NotifyPingComplete takes the coordinate of a member that has answered a probe. One
// that sends none, or none that makes sense, is left out.
func (c *coordinates) NotifyPingComplete(other *memberlist.Node, rtt time.Duration, payload []byte) {
	theirs, ok := decodeCoordinate(payload)
	if !ok {
		return
	}
	if _, err := c.client.Update(other.Name, theirs, rtt); err != nil {
		return // a round trip beyond all reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others[federation.ClusterName(other.Name)] = theirs
}

func (c *coordinates) forget(name federation.ClusterName) {
	c.client.ForgetNode(string(name))
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.others, name)
}

// between estimates the round trip between two members; false while either's place is
// not known.
func (c *coordinates) between(self, a, b federation.ClusterName) (time.Duration, bool) {
	at := func(name federation.ClusterName) *coordinate.Coordinate {
		if name == self {
			return c.client.GetCoordinate()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.others[name]
	}
	from, to := at(a), at(b)
	if from == nil || to == nil {
		return 0, false
	}
	return from.DistanceTo(to), true
}

// Estimate is the round trip between two members as their network coordinates tell it,
// some 10 % off on wide-area links and equal in both directions; false while it is not
// known. Callable from any goroutine.
func (g *Gossip) Estimate(a, b federation.ClusterName) (time.Duration, bool) {
	return g.coordinates.between(g.cfg.Cluster, a, b)
}

// The wire form: a version byte, then float32s, big endian: the vector, error,
// adjustment, height.
const (
	coordinateVersion = 1
	dimensions        = 8 // serf's default
	coordinateBytes   = 1 + 4*(dimensions+3)
)

func encodeCoordinate(c *coordinate.Coordinate) []byte {
	b := append(make([]byte, 0, coordinateBytes), coordinateVersion)
	for _, x := range append(c.Vec[:dimensions:dimensions], c.Error, c.Adjustment, c.Height) {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	return b
}

// decodeCoordinate refuses what is no place: numbers that are none, a height or an error
// below zero, and what is further than a minute from anywhere.
func decodeCoordinate(b []byte) (*coordinate.Coordinate, bool) {
	if len(b) != coordinateBytes || b[0] != coordinateVersion {
		return nil, false
	}
	var x [dimensions + 3]float64
	for i := range x {
		x[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(b[1+4*i:])))
		if !(math.Abs(x[i]) <= time.Minute.Seconds()) { // false for NaN too
			return nil, false
		}
	}
	c := coordinate.NewCoordinate(coordinate.DefaultConfig())
	copy(c.Vec, x[:dimensions])
	c.Error, c.Adjustment, c.Height = x[dimensions], x[dimensions+1], x[dimensions+2]
	return c, c.Error >= 0 && c.Height >= 0
}
