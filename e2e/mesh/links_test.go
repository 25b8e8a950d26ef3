package mesh_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// TestLinks is the federation over links that are far, and then break one way.
func TestLinks(t *testing.T) {
	s := newScene(t)
	t.Run("measured round trips are the emulated ones", s.measures)
	t.Run("a longer way is measured too", s.measuresLonger)
	t.Run("requests that vanish one way are routed around", func(t *testing.T) { s.losesOneWay(t, "eu-west>us-east") })
	t.Run("answers that vanish one way are routed around", func(t *testing.T) { s.losesOneWay(t, "us-east>eu-west") })
}

// link makes a change of the emulator's script language.
func (s *scene) link(t *testing.T, change string) {
	t.Helper()
	c, err := script.ParseChange(change)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.world.WAN.Apply(c); err != nil {
		t.Fatal(err)
	}
}

// members are what `causewayctl status -o json` says in a cluster of the others.
func (s *scene) members(t *testing.T, cluster string) map[string]explain.Member {
	t.Helper()
	out, err := s.ctl(t, cluster, "status", "-o", "json")
	if err != nil {
		t.Fatal(err, out)
	}
	var status explain.Status
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		t.Fatal(err, out)
	}
	members := map[string]explain.Member{}
	for _, m := range status.Members {
		if !m.Self {
			members[m.Name] = m
		}
	}
	return members
}

// rttTolerance is how far a measured round trip may be from the emulated one; rttLooks
// is from how many looks at a smoothed value the median is taken.
const (
	rttTolerance = 0.05
	rttLooks     = 9
)

// emulated is the round trip that the links between two clusters have now.
func (s *scene) emulated(t *testing.T, a, b string) float64 {
	t.Helper()
	there, err := s.world.WAN.Settings(wan.Site(a), wan.Site(b))
	if err != nil {
		t.Fatal(err)
	}
	back, err := s.world.WAN.Settings(wan.Site(b), wan.Site(a))
	if err != nil {
		t.Fatal(err)
	}
	return float64(there.Delay+back.Delay) / float64(time.Millisecond)
}

// strays says which pairs a set of medians puts out of tolerance.
func (s *scene) strays(t *testing.T) (trouble, all string) {
	t.Helper()
	looks := map[wan.Direction][]float64{}
	for range rttLooks {
		for from := range s.world.Clusters {
			for to, m := range s.members(t, from) {
				d := wan.Direction{From: wan.Site(from), To: wan.Site(to)}
				looks[d] = append(looks[d], m.RTTMS)
			}
		}
	}
	if want := len(s.world.Clusters) * (len(s.world.Clusters) - 1); len(looks) != want {
		return fmt.Sprintf("%d of %d pairs have a round trip", len(looks), want), ""
	}
	for d, values := range looks {
		slices.Sort(values)
		got, want := values[len(values)/2], s.emulated(t, string(d.From), string(d.To))
		line := fmt.Sprintf("%s: %.1f ms measured, %.0f emulated\n", d, got, want)
		if all += line; math.Abs(got-want) > rttTolerance*want {
			trouble += line
		}
	}
	return trouble, all
}

func (s *scene) measures(t *testing.T) {
	all := ""
	eventually(t, time.Minute, func() (trouble string) {
		trouble, all = s.strays(t)
		return trouble
	})
	t.Log("\n" + all)
}

func (s *scene) measuresLonger(t *testing.T) {
	s.link(t, "us-east<>eu-west delay 50ms")
	defer s.link(t, "us-east<>eu-west clear")
	s.measures(t)
}

// oneWayLimit bounds how long traffic may go into a one-way black hole (FAULTS row 6).
const oneWayLimit = 1500 * time.Millisecond

func (s *scene) losesOneWay(t *testing.T, direction string) {
	if err := s.client.AwaitServedBy(t.Context(), "us-east", 30*time.Second); err != nil {
		t.Fatal(err)
	}
	results, fault := s.under(t, 10*time.Second, func() { s.link(t, direction+" down") })
	defer func() {
		s.link(t, direction+" clear")
		if err := s.client.AwaitServedBy(t.Context(), "us-east", 30*time.Second); err != nil {
			t.Errorf("traffic did not come back: %v", err)
		}
	}()
	s.toldOneWay(t)
	recovery, ok := load.Recovery(results, fault, 50, time.Second)
	if !ok || recovery > oneWayLimit {
		t.Errorf("%s down: routed around after %s (%t), want at most %s", direction, recovery, ok, oneWayLimit)
	}
	if fresh, _ := newFailures(results, fault); len(fresh) > 0 {
		t.Errorf("%d requests on new connections failed, first: %v", len(fresh), fresh[0].Err)
	}
	if got := moves(results); len(got) != 2 || got[1] != "us-west" {
		t.Errorf("answered in turn by %v: want one move from us-east to us-west", got)
	}
	t.Logf("%s down: routed around after %s", direction, recovery)
}

// moves are the clusters that answered, by when the request was scheduled, each run of
// answers once.
func moves(results []load.Result) []string {
	var out []string
	for _, r := range results {
		if r.Err == nil {
			cluster, _, _ := strings.Cut(r.Served, "/")
			out = append(out, cluster)
		}
	}
	return slices.Compact(out)
}

// toldOneWay: both ends say that the way between them is broken and for how long, and
// neither blames the cluster that both can still talk to.
func (s *scene) toldOneWay(t *testing.T) {
	t.Helper()
	for from, to := range map[string]string{"eu-west": "us-east", "us-east": "eu-west"} {
		m := s.members(t, from)
		if bad := m[to]; bad.Verdict != "LinkDown" || bad.Cause == "" || bad.AgeMS <= 0 {
			t.Errorf("%s says of %s: %s for %d ms, %q; want LinkDown", from, to, bad.Verdict, bad.AgeMS, bad.Cause)
		}
		if good := m["us-west"]; good.Verdict != "Reachable" {
			t.Errorf("%s says of us-west: %s, %q", from, good.Verdict, good.Cause)
		}
		t.Logf("%s says of %s: %s, %q", from, to, m[to].Verdict, m[to].Cause)
	}
}
