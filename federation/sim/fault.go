package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The faults. A and B are clusters by number; those that need one only leave B at -1.
const (
	Split       Kind = "Split"       // no way between A and B, either direction
	OneWay      Kind = "OneWay"      // what A sends does not reach B
	Island      Kind = "Island"      // A is cut from everybody
	Lost        Kind = "Lost"        // the whole site A goes dark without a word
	NoOperator  Kind = "NoOperator"  // A's operator dies, its gateway goes on
	NewLeader   Kind = "NewLeader"   // A's leader hands over politely
	TwoLeaders  Kind = "TwoLeaders"  // A's new leader speaks while the old one goes on
	GatewayGone Kind = "GatewayGone" // A's host refuses tunnels
	GatewayHung Kind = "GatewayHung" // A's host takes tunnels, and nothing answers
	Slow        Kind = "Slow"        // all that A's operator sends and hears is late
	Lossy       Kind = "Lossy"       // segments are lost everywhere
)

// Scope is what a cut applies to.
type Scope string

// The scopes of Split, OneWay and Island.
const (
	Everything Scope = "everything"
	GossipOnly Scope = "gossip only"
	DataOnly   Scope = "data only"
)

// Fault is one entry of the schedule. At and For are in virtual time.
type Fault struct {
	At, For time.Duration
	Kind    Kind
	A, B    int
	Scope   Scope
	Late    time.Duration // of Slow
	Loss    float64       // of Lossy
}

func (f Fault) end() time.Duration { return f.At + f.For }

func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%7s for %6s  %s", f.At.Round(time.Millisecond), f.For.Round(time.Millisecond), f.Kind)
	if f.A >= 0 {
		fmt.Fprintf(&b, " c%d", f.A)
	}
	if f.B >= 0 {
		fmt.Fprintf(&b, " c%d", f.B)
	}
	switch {
	case f.Scope != "":
		fmt.Fprintf(&b, ", %s", f.Scope)
	case f.Kind == Slow:
		fmt.Fprintf(&b, " by %s", f.Late.Round(time.Millisecond))
	case f.Kind == Lossy:
		fmt.Fprintf(&b, " %.1f %%", 100*f.Loss)
	}
	return b.String()
}

// schedule draws count faults among n clusters that begin in [from, to) and last at
// most longest.
func schedule(rng *rand.Rand, n, count int, from, to, longest time.Duration) []Fault {
	kinds := []Kind{Split, OneWay, Island, Lost, NoOperator, NewLeader, TwoLeaders, TwoLeaders, GatewayGone, GatewayHung, Slow, Lossy}
	scopes := []Scope{Everything, GossipOnly, DataOnly}
	var out []Fault
	for range count {
		f := Fault{
			At: from + between(rng, 0, to-from), For: between(rng, 500*time.Millisecond, longest),
			Kind: kinds[rng.IntN(len(kinds))], A: rng.IntN(n), B: -1,
		}
		switch f.Kind {
		case Split, OneWay:
			f.B = (f.A + 1 + rng.IntN(n-1)) % n
			f.Scope = scopes[rng.IntN(len(scopes))]
		case Island:
			f.Scope = scopes[rng.IntN(len(scopes))]
		case Slow:
			f.Late = between(rng, 50*time.Millisecond, 300*time.Millisecond)
		case Lossy:
			f.A, f.Loss = -1, 0.01+0.09*rng.Float64()
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return out
}

// between draws a duration in whole milliseconds.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(rng.Int64N(int64(most-least)+1))).Truncate(time.Millisecond)
}
