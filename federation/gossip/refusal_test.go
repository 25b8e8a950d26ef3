package gossip

import (
	"crypto/tls"
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// refusing is a seat of us-west, with what its peers eu-west and us-east may do to it.
type refusing struct {
	*testing.T
	ca      *identitytest.CA
	west    *seat
	mallory liar // of eu-west
}

// sends opens a link as eu-west, which speaks signed gossip, and sends frames on it.
func (r refusing) sends(frames ...[]byte) {
	stranger(r.T, r.west.address, r.mallory.conf, append([][]byte{hello(), r.mallory.key()}, frames...)...)
}

// connects opens a link as somebody.
func (r refusing) connects(ca *identitytest.CA, c federation.ClusterName) {
	stranger(r.T, r.west.address, clientTLS(ca.Source(testID(c, identity.RoleOperator)), "us-west"))
}

// answers has us-east answer the link that us-west dials.
func (r refusing) answers(answer []byte) {
	config := r.ca.Source(testID("us-east", identity.RoleOperator)).ServerConfig(operators(func(federation.ClusterName) bool { return true }), federation.ALPNGossip)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		r.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := readPreamble(conn); err == nil {
			_, _ = conn.Write(answer)
			_, _ = readFrame(conn, 1<<20)
		}
	}()
	r.Cleanup(func() { _ = l.Close(); <-done })
	r.west.SetPeers(map[federation.ClusterName][]string{"us-east": {l.Addr().String()}})
}

// claims is the head of a frame whose body is one byte more than is allowed.
func claims(kind byte) []byte {
	head := appendFrame(nil, kind, 0, nil)
	binary.BigEndian.PutUint32(head[1:], uint32(DefaultConfig().MaxMessageBytes+1))
	return head
}

// Each refusal is counted once, under its own reason and no other.
func TestEveryRefusalIsCountedUnderItsReason(t *testing.T) {
	wordOf := func(c federation.ClusterName) []byte {
		return appendFrame(nil, frameOwn, 0, encode(statement{Owner: c, Floor: 1}))
	}
	cases := []struct {
		reason, by string
		provoke    func(r refusing)
	}{
		{refuseMalformed, "digest", func(r refusing) { r.sends(appendFrame(nil, frameDigest, 0, []byte{9, 'x'})) }},
		{refuseMalformed, "frame", func(r refusing) { r.sends(appendFrame(nil, 0, 0, nil)) }},
		{refuseMalformed, "answer", func(r refusing) { r.answers(appendFrame(nil, 0, 0, nil)) }},
		{refuseUnknown, "frame", func(r refusing) { r.sends(appendFrame(nil, 77, 0, nil)) }},
		{refuseUnknown, "answer", func(r refusing) { r.answers(appendFrame(nil, 77, 0, nil)) }},
		{refuseCluster, "connection", func(r refusing) { r.connects(r.ca, "mallory") }},
		{refuseNotOwner, "statement", func(r refusing) { stranger(r.T, r.west.address, r.mallory.conf, wordOf("us-east")) }},
		{refuseServices, "batch", func(r refusing) {
			r.west.limit.services = 1
			b := down(1, 1)
			for p := range 3 {
				b.Items = append(b.Items, item{Port: federation.ServicePort{Service: wirePort.Service, Port: uint16(1000 + p)}})
			}
			r.sends(batchFrame(r.mallory.seal(r.T, b)))
		}},
		{refuseClusters, "digest", func(r refusing) {
			r.west.limit.clusters = 1
			r.sends(appendFrame(nil, frameDigest, 0, encodeHoldings([]holding{{Owner: "a"}, {Owner: "b"}})))
		}},
		{refuseClusters, "statements", func(r refusing) {
			r.west.limit.clusters = 1
			stranger(r.T, r.west.address, r.mallory.conf, appendFrame(nil, frameOwn, 0, encode(statement{Owner: "a"}, statement{Owner: "b"})))
		}},
		{refuseClusters, "legs", func(r refusing) {
			r.west.limit.clusters = 1
			r.sends(appendFrame(nil, frameLegs, 0, encodeLegs(ways, 0)))
		}},
		{refuseStale, "batch", func(r refusing) {
			r.sends(batchFrame(r.mallory.seal(r.T, down(5, 1))), batchFrame(r.mallory.seal(r.T, down(4, 1))))
		}},
		{refuseHandshake, "foreign authority", func(r refusing) {
			liar := identitytest.NewCA(r.T, testDomain).Source(testID("eu-west", identity.RoleOperator))
			if err := liar.SetBundle(testDomain, r.ca.Bundle()); err != nil {
				r.Fatal(err)
			}
			stranger(r.T, r.west.address, clientTLS(liar, "us-west"))
		}},
		{refuseConns, "connections", func(r refusing) {
			for range maxConnsPerCluster + 1 {
				r.connects(r.ca, "eu-west")
			}
		}},
		{refuseMember, "name", func(r refusing) {
			if err := (&delegate{r.west.Gossip}).NotifyAlive(&memberlist.Node{Name: "mallory"}); err == nil {
				r.Error("a stranger is a member")
			}
		}},
		{refuseOversized, "frame", func(r refusing) { r.sends(claims(frameBatch)) }},
		{refuseOversized, "answer", func(r refusing) { r.answers(claims(framePong)) }},
		{refuseOversized, "chain", func(r refusing) { r.sends(appendFrame(nil, frameKey, 0, make([]byte, maxChainBytes+1))) }},
		{refuseOversized, "statements", func(r refusing) {
			r.west.limit.bytes = 8
			stranger(r.T, r.west.address, r.mallory.conf, wordOf("eu-west"))
		}},
		{refuseUnsigned, "relay", func(r refusing) { r.sends(appendFrame(nil, frameRelay, 0, nil)) }},
		{refuseSignature, "batch", func(r refusing) {
			sealed := r.mallory.seal(r.T, down(1, 1))
			sealed[20]++
			r.sends(batchFrame(sealed))
		}},
		{refuseUnknownKey, "batch", func(r refusing) {
			sealed := r.mallory.seal(r.T, down(1, 1))
			sealed[1]++
			r.sends(batchFrame(sealed))
		}},
		{refuseKey, "chain", func(r refusing) {
			r.sends(newLiar(r.T, identitytest.NewCA(r.T, testDomain), "us-east", "us-west").key())
		}},
		{refuseVersion, "batch", func(r refusing) {
			sealed := r.mallory.seal(r.T, down(1, 1))
			sealed[0] = 9
			r.sends(batchFrame(sealed))
		}},
		{refuseReplayed, "batch", func(r refusing) {
			sealed := r.mallory.seal(r.T, down(1, 1))
			r.sends(batchFrame(sealed), batchFrame(sealed))
		}},
	}
	tried := map[string]bool{}
	for _, c := range cases {
		tried[c.reason] = true
		t.Run(c.reason+"/"+c.by, func(t *testing.T) {
			ca := identitytest.NewCA(t, testDomain)
			west := newSeat(t, ca, "us-west")
			federate(t, west)
			west.SetPeers(map[federation.ClusterName][]string{"eu-west": nil, "us-east": nil})
			c.provoke(refusing{t, ca, west, newLiar(t, ca, "eu-west", "us-west")})
			await(t, "a refusal", func() bool { return len(west.refused(t)) > 0 })
			if d := cmp.Diff(map[string]float64{c.reason: 1}, west.refused(t)); d != "" {
				t.Error(d)
			}
		})
	}
	reasons := declaredReasons(t)
	if d := cmp.Diff(reasons, slices.Sorted(maps.Keys(tried))); d != "" {
		t.Errorf("reasons that are declared, and that are tried:\n%s", d)
	}
	if d := cmp.Diff(reasons, documentedReasons(t)); d != "" {
		t.Errorf("reasons that are declared, and that docs/observability.md explains:\n%s", d)
	}
}

// refused is how often a seat has refused something, by reason.
func (s *seat) refused(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, reason := range declaredReasons(t) {
		if n := s.refusals(t, reason); n > 0 {
			out[reason] = n
		}
	}
	return out
}

// declaredReasons are the values of the constants refuse… of metrics.go.
func declaredReasons(t *testing.T) (out []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "metrics.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "refuse") {
			reason, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, reason)
		}
		return true
	})
	slices.Sort(out)
	return out
}

// documentedReasons are the first cells of the table of refusals.
func documentedReasons(t *testing.T) (out []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n| `reason` of gossip |")
	table, _, _ := strings.Cut(rest, "\n\n")
	for _, line := range strings.Split(table, "\n")[1:] {
		if cells := strings.Split(line, "`"); len(cells) > 2 {
			out = append(out, cells[1])
		}
	}
	slices.Sort(out)
	return out
}
