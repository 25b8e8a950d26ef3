package gateway

import (
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// feeder remembers whom we obey and since when it has been silent.
type feeder struct {
	silence time.Duration

	mu    sync.Mutex
	held  routing.TableVersion
	heard time.Duration // when the held feeder last spoke
}

// take says whether a table of version v replaces the held one, and remembers it
// if so. now is a monotonic clock.
func (f *feeder) take(v routing.TableVersion, now time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	newer := false
	switch {
	case v.Epoch != f.held.Epoch:
		newer = v.Epoch > f.held.Epoch
	case v.Feeder == f.held.Feeder:
		newer = v.Sequence > f.held.Sequence
		if !newer {
			f.heard = now // the feeder repeats itself: it lives
		}
	default:
		newer = now-f.heard > f.silence
	}
	if newer {
		f.held, f.heard = v, now
	}
	return newer
}

// apply is called by the feed with a complete table.
func (g *Gateway) apply(t routing.Table) {
	if t.Self != g.cfg.Cluster || t.Federation != g.cfg.Federation {
		g.recorder.Table("foreign")
		g.deps.Log.Warn("table is not for this gateway", "cluster", string(t.Self), "federation", t.Federation)
		return
	}
	g.applying.Lock() // or an older table could be stored after a newer one
	defer g.applying.Unlock()
	if !g.obeyed.take(t.Version, g.now()) {
		if t.Version == g.Table().Version {
			g.recorder.Table("repeated")
		} else {
			g.recorder.Table("old")
		}
		return
	}
	if err := g.deps.Identity.SetBundles(t.Bundles); err != nil {
		g.deps.Log.Warn("trust bundles of the table, the previous ones stay", "error", err)
	}
	g.table.Store(&t)
	g.recorder.Table("applied")
	g.heat() // new paths know at once what they are wanted for
	g.paths.Sync(keys(t))
	g.heat()
	g.egress.Sync()
	g.review()
	g.feed.Poke() // the report acknowledges the version
}

func keys(t routing.Table) []tunnel.Key {
	var out []tunnel.Key
	for name, peer := range t.Peers {
		for i, gw := range peer.Gateways {
			if i == federation.MaxGatewaysPerCluster {
				break
			}
			out = append(out, tunnel.KeyOf(name, gw))
		}
	}
	return out
}

// Table is the one in force; never nil.
func (g *Gateway) Table() *routing.Table { return g.table.Load() }

// Ready says whether the gateway can carry traffic: it has a valid identity and a
// table, and is not on its way out; and if not, in words, why.
func (g *Gateway) Ready() (bool, string) {
	_, expires, _ := g.deps.Identity.Own()
	switch {
	case g.draining.Load():
		return false, "draining"
	case !g.deps.Identity.Ready():
		return false, "waiting for the identity files tls.crt, tls.key and ca.crt"
	case !time.Now().Before(expires):
		return false, "the identity has expired at " + expires.UTC().Format(time.RFC3339) + ": is cert-manager renewing it?"
	case g.Table().Version.Epoch == 0:
		return false, "waiting for the first route table from an operator"
	}
	return true, "ok"
}

// Paths shows every path to a peer gateway.
func (g *Gateway) Paths() []tunnel.View { return g.paths.Views() }

// Report is this gateway's evidence of the moment.
func (g *Gateway) Report() routing.GatewayReport {
	r := routing.GatewayReport{
		Instance: g.cfg.Instance, Advertise: g.cfg.Advertise, Local: g.cfg.Local.String(),
		Applied: g.Table().Version, FailedPorts: g.egress.FailedPorts(), Draining: g.draining.Load(),
		Uses: g.recorder.Ports().Uses(), Calls: g.recorder.Calls().Calls(),
	}
	for _, v := range g.paths.Views() {
		r.Paths = append(r.Paths, routing.PathReport{
			Cluster: v.Cluster, Address: v.Address, State: v.State, RTT: v.RTT, Silence: v.Silence,
			Refused: v.Refused, Cause: v.Cause, Jitter: v.Jitter, Loss: v.Loss,
			Hung: v.Hung, Unheard: v.Unheard, Draining: v.Draining,
		})
		if v.Trust != "" {
			if r.TrustErrors == nil {
				r.TrustErrors = map[federation.ClusterName]string{}
			}
			r.TrustErrors[v.Cluster] = v.Trust
		}
	}
	return r
}

// alone says whether at least two peers are known and none can be reached: the
// fault is most likely ours.
func (g *Gateway) alone() bool {
	states := g.paths.States()
	for _, state := range states {
		if state == routing.PathUp {
			return false
		}
	}
	return len(states) >= 2
}
