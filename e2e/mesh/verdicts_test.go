package mesh_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
)

const (
	// hangLimit bounds how long traffic may go to gateways that hang. What is wanted is
	// 1 s (FAULTS row 4), which the log shows; a busy machine gets more.
	hangLimit = 2500 * time.Millisecond
	// nameLimit bounds how long a cause may take to be told. A lost API server is noticed
	// by two looks at the Lease that fail, 2 s each.
	nameLimit = 20 * time.Second
)

// tellsVerdict waits until `causewayctl status` in a cluster gives a verdict on another one for
// that reason, with a cause and an age, in a table that a person reads.
func (s *scene) tellsVerdict(t *testing.T, from, of, verdict, reason string) {
	t.Helper()
	eventually(t, nameLimit, func() string {
		m := s.members(t, from)[of]
		if m.Verdict != verdict || m.Reason != reason || m.Cause == "" {
			return fmt.Sprintf("%s says of %s: %s, %s (%s), want %s, %s", from, of, m.Verdict, m.Reason, m.Cause, verdict, reason)
		}
		return ""
	})
	m := s.members(t, from)[of]
	status, err := s.ctl(t, from, "status")
	if err != nil {
		t.Fatal(err, status)
	}
	line := ""
	for _, l := range strings.Split(status, "\n") {
		if strings.HasPrefix(l, of+" ") && strings.Contains(l, verdict) {
			line = l
		}
	}
	if m.AgeMS < 0 || line == "" || !strings.Contains(line, m.Cause[:20]) {
		t.Errorf("the cause %q and its age are not in:\n%s", m.Cause, status)
	}
	t.Logf("%s: %s", from, line)
}

// hangs stops every gateway of a region with SIGSTOP: connections stay open and say
// nothing, new ones are taken by the kernel.
func (s *scene) hangs(t *testing.T) {
	s.flows(t)
	goOn := func() {
		for _, g := range s.Gateways["us-east"] {
			_ = g.Process.Continue()
		}
	}
	defer goOn()
	results, fault := s.under(t, 5*time.Second, func() {
		for _, g := range s.Gateways["us-east"] {
			if err := g.Process.Pause(); err != nil {
				t.Fatal(err)
			}
		}
	})
	recovery, ok := load.Recovery(results, fault, 50, time.Second)
	if !ok || recovery > hangLimit {
		t.Errorf("traffic moved after %s (%t), want at most %s", recovery, ok, hangLimit)
	}
	if fresh, _ := newFailures(results, fault); len(fresh) > 0 {
		t.Errorf("%d requests on new connections failed, first: %v", len(fresh), fresh[0].Err)
	}
	t.Logf("gateways of us-east stopped: traffic moved after %s", recovery)
	s.tellsVerdict(t, "eu-west", "us-east", "GatewayDown", "Hung")
	s.tellsVerdict(t, "us-west", "us-east", "GatewayDown", "Hung")
	goOn()
	if err := s.client.AwaitServedBy(t.Context(), "us-east", 45*time.Second); err != nil {
		t.Errorf("traffic did not come back: %v", err)
	}
}

// losesAPIServer stops one region's API server alone: its leader says so, everybody
// tells it, and nothing moves.
func (s *scene) losesAPIServer(t *testing.T) {
	s.flows(t)
	server := s.world.Clusters["us-east"].APIServer
	defer func() { _ = server.Continue() }()
	results, fault := s.under(t, 10*time.Second, func() {
		if err := server.Pause(); err != nil {
			t.Fatal(err)
		}
	})
	if fresh, open := newFailures(results, fault); len(fresh)+len(open) > 0 {
		t.Errorf("%d requests failed, %d of them on new connections", len(fresh)+len(open), len(fresh))
	}
	if got := moves(results); !slices.Equal(got, []string{"us-east"}) {
		t.Errorf("answered in turn by %v: want us-east alone", got)
	}
	s.tellsVerdict(t, "eu-west", "us-east", "ControlPlaneDown", "APIServerLost")
	s.tellsVerdict(t, "us-west", "us-east", "ControlPlaneDown", "APIServerLost")
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	s.tellsVerdict(t, "eu-west", "us-east", "Reachable", "Answers")
	s.flows(t)
}

// losesLease deletes the Lease that counts a cluster's leaders, and then its leader: the
// next one starts from 1, its peers know better, and it leads on above what they know.
func (s *scene) losesLease(t *testing.T) {
	epoch := func() int {
		n, _ := strconv.Atoi(s.kubectl(t, "us-east", "-n", "causeway-system", "get", "lease", "causeway-operator",
			"--ignore-not-found", "-o", `jsonpath={.metadata.annotations.federation\.causeway\.dev/epoch}`))
		return n
	}
	known := epoch()
	if known < 2 {
		t.Fatalf("us-east has had %d leaders: the lost API server cost it none", known)
	}
	leader := s.leader(t, "us-east")
	s.kubectl(t, "us-east", "-n", "causeway-system", "delete", "lease", "causeway-operator")
	s.kills(t, leader)
	eventually(t, 2*nameLimit, func() string {
		if n := epoch(); n <= known {
			return fmt.Sprintf("the Lease shows epoch %d, want more than the %d that peers have heard", n, known)
		}
		return ""
	})
	s.tellsVerdict(t, "eu-west", "us-east", "Reachable", "Answers")
	s.awaitReason(t, "us-east", "Ready", "Ready")
}
