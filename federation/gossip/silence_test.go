package gossip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// asked is a request that a seat without a network has sent.
type asked struct{ to, of federation.ClusterName }

// alone is a seat with carried links to b and c, both of which have just answered, whose
// memberlist counts nobody. It returns what the seat asks for.
func alone(t *testing.T) (*Gossip, *[]asked) {
	t.Helper()
	source := identitytest.NewCA(t, testDomain).Source(testID("a", identity.RoleOperator))
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch = testFed, "a", 1
	var sent []asked
	g, err := New(cfg, Deps{
		Certificate: certificate(source), VerifyChain: verifyChain(source), Start: time.Now().Add(-time.Minute),
		carry: func(to federation.ClusterName, kind byte, body []byte) {
			if kind != frameLack {
				return
			}
			holdings, err := decodeHoldings(body, testBounds)
			if err != nil {
				t.Error(err)
			}
			for _, h := range holdings {
				sent = append(sent, asked{to, h.Owner})
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.SetPeers(map[federation.ClusterName][]string{"b": nil, "c": nil})
	g.list = &memberlist.Memberlist{}
	for _, c := range []federation.ClusterName{"b", "c"} {
		g.links[c] = newLink(g, c)
		g.links[c].connectCarried()
		g.members[c] = memberNote{status: Alive, joined: true}
	}
	return g, &sent
}

// silence has a peer owe an answer for so long.
func (g *Gossip) silence(c federation.ClusterName, d time.Duration) {
	g.links[c].asked.Store(int64(g.now() - d))
}

// Found by federation/sim, seed 29: an operator that was cut off for a moment took all
// for dead, said so when it was back, and was believed until they had objected.
func TestOthersWordDoesNotMakeDeadWhoAnswersUs(t *testing.T) {
	g, _ := alone(t)
	g.silence("c", 10*time.Second)
	g.observe()
	if g.members["b"].status != Suspect || g.members["c"].status != Dead {
		t.Errorf("who answers is %s, who does not is %s", g.members["b"].status, g.members["c"].status)
	}
	g.links["b"].heard.Store(0)
	g.observe()
	if got := g.members["b"].status; got != Dead {
		t.Errorf("whom we never heard ourselves is %s", got)
	}
}

// Found by federation/sim, seeds 7, 160 and 173: while a leader's own connection to us was
// cut, chance alone decided whether others' digests renewed its word in time.
func TestWhoDoesNotAnswerIsAskedAfterElsewhere(t *testing.T) {
	g, sent := alone(t)
	g.listen()
	if len(*sent) > 0 {
		t.Errorf("asked for %v though all answer", *sent)
	}
	g.silence("c", time.Second)
	g.listen()
	g.listen() // once a second
	if d := cmp.Diff([]asked{{"b", "c"}}, *sent, cmp.AllowUnexported(asked{})); d != "" {
		t.Error(d)
	}
	g.silence("b", time.Second)
	g.told = map[federation.ClusterName]time.Duration{}
	g.listen()
	if len(*sent) > 1 {
		t.Errorf("asked %v, who does not answer either", (*sent)[1:])
	}
}
