package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/sim/memnet"
)

// regions are those of BENCHMARKS.md with their round trips to each other.
var regions = []struct {
	name federation.Region
	rtt  [3]time.Duration
}{
	{"us-east", [3]time.Duration{2 * time.Millisecond, 66 * time.Millisecond, 64 * time.Millisecond}},
	{"us-west", [3]time.Duration{66 * time.Millisecond, 2 * time.Millisecond, 146 * time.Millisecond}},
	{"eu-west", [3]time.Duration{64 * time.Millisecond, 146 * time.Millisecond, 2 * time.Millisecond}},
}

// farthest is the longest one-way delay.
const farthest = 73 * time.Millisecond

func clusterName(i int) federation.ClusterName { return federation.ClusterName(fmt.Sprintf("c%d", i)) }

func regionOf(i int) federation.Region { return regions[i%len(regions)].name }

func roundTrip(a, b int) time.Duration { return regions[a%len(regions)].rtt[b%len(regions)] }

func siteOf(i int) memnet.Site { return memnet.Site(clusterName(i)) }

// oneWay is half the round trip between two sites.
func oneWay(from, to memnet.Site) time.Duration {
	return roundTrip(number(federation.ClusterName(from)), number(federation.ClusterName(to))) / 2
}

// number is a cluster's index.
func number(c federation.ClusterName) (i int) {
	i, _ = strconv.Atoi(strings.TrimPrefix(string(c), "c"))
	return i
}
