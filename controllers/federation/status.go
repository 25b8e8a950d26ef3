package federation

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// finding is what one step has to say.
type finding struct {
	ok, pending bool
	reason      string
	message     string
}

func (r finding) write(f *api.MeshFederation, kind string) {
	set := condition.False
	switch {
	case r.ok:
		set = condition.True
	case r.pending:
		set = condition.Unknown
	}
	set(&f.Status.Conditions, kind, r.reason, r.message, f.Generation)
}

func storeFinding(v *engine.View) finding {
	switch {
	case !v.Configured:
		return finding{reason: api.ReasonNotConfigured, message: "the settings are on their way"}
	case v.Store.Connected && v.StoreSynced && v.Store.Reason != api.ReasonNoSpace:
		return finding{ok: true, reason: api.ReasonConnected, message: "the policy store answers"}
	case v.Store.Reason == "Connected" || v.Store.Reason == "NotSynced":
		return finding{pending: true, reason: api.ReasonPending, message: "the policy store is being read"}
	}
	reason := v.Store.Reason
	if reason == "Forbidden" { // who is let in is a matter of trust, too
		reason = api.ReasonUntrusted
	}
	return finding{reason: reason, message: v.Store.Message}
}

func registeredFinding(v *engine.View) finding {
	switch {
	case v.NameConflict != "":
		return finding{reason: api.ReasonNameConflict, message: v.NameConflict}
	case v.Registration != "":
		return finding{pending: true, reason: api.ReasonPending, message: "registering: " + v.Registration}
	}
	for _, m := range v.Members {
		if m.Self {
			return finding{ok: true, reason: api.ReasonRegistered, message: "the federation knows this cluster as " + string(m.Name)}
		}
	}
	return finding{pending: true, reason: api.ReasonPending, message: "waits for the policy store to take the registration"}
}

func gossipFinding(v *engine.View) finding {
	others := len(v.Members) - 1
	switch {
	case !v.Gossip.Running:
		reason := v.Gossip.Reason
		if reason == "" {
			reason = api.ReasonNotRunning
		}
		return finding{reason: reason, message: v.Gossip.Message}
	case v.Gossip.Alive > 0:
		return finding{ok: true, reason: api.ReasonJoined, message: "other members answer"}
	case others <= 0:
		return finding{ok: true, reason: api.ReasonAlone, message: "no other member is registered yet"}
	}
	return finding{reason: api.ReasonNoPeerAlive, message: fmt.Sprintf("none of %d other members answers", others)}
}

func gatewaysFinding(v *engine.View) finding {
	var connected int
	var untrusted []string
	for _, g := range v.Gateways {
		if !g.Connected {
			continue
		}
		connected++
		for cluster, why := range g.TrustErrors {
			untrusted = append(untrusted, fmt.Sprintf("gateway %s and cluster %s: %s", g.Instance, cluster, why))
		}
	}
	switch {
	case connected == 0:
		return finding{reason: api.ReasonNoGateway, message: "no gateway of this cluster is connected to the operator: is causeway-gateway running?"}
	case len(untrusted) > 0:
		return finding{reason: api.ReasonGatewayUntrusted, message: strings.Join(untrusted, "; ")}
	}
	return finding{ok: true, reason: api.ReasonConnected, message: fmt.Sprintf("%d gateways are connected", connected)}
}

// summary is Ready: the first condition that is not true speaks for all.
func summary(f *api.MeshFederation) finding {
	for _, kind := range []string{
		api.ConditionIdentityReady, api.ConditionPolicyStoreReady, api.ConditionRegistered, api.ConditionGatewaysReady, api.ConditionGossipReady,
	} {
		one := meta.FindStatusCondition(f.Status.Conditions, kind)
		if one.Status != metav1.ConditionTrue {
			return finding{pending: one.Status == metav1.ConditionUnknown, reason: one.Reason, message: kind + ": " + one.Message}
		}
	}
	return finding{ok: true, reason: api.ReasonReady, message: "this cluster takes part fully"}
}

const (
	maxMembers = 256
	maxCause   = 512
	// sinceSlack and proofSlack are how far a kept time may be off before it is
	// written anew: status is not patched for the passing of time.
	sinceSlack = 3 * time.Second
	proofSlack = 30 * time.Second
)

// members writes the verdicts, keeping what has not changed materially.
func (c *Controller) members(f *api.MeshFederation, v *engine.View) {
	old := map[string]api.MemberStatus{}
	for _, m := range f.Status.Members {
		old[m.Name] = m
	}
	if v.StoreSynced || len(v.Members) > 0 { // or what was kept of them
		f.Status.MemberCount, f.Status.StoreRevision = int32(len(v.Members)), int64(v.Store.Revision)
		f.Status.Members = nil
	}
	now := c.now()
	for i, m := range v.Members {
		if i == maxMembers {
			break
		}
		was := old[string(m.Name)]
		one := api.MemberStatus{
			Name: string(m.Name), Region: string(m.Region), Zone: string(m.Zone), Self: m.Self,
			Verdict: string(m.Verdict.Kind), Cause: cut(m.Verdict.Cause), Gateways: int32(len(m.Gateways)),
			RTT: rtt(was.RTT, m.Verdict.RTT),
		}
		if !m.Self {
			one.Since = moment(was.Since, now.Add(-m.Verdict.Age), sinceSlack)
			one.LastProof = moment(was.LastProof, now.Add(-m.Verdict.ProofAge), proofSlack)
		}
		if one.Verdict == was.Verdict && !m.Self {
			one.Cause = was.Cause // its wording holds ages; the verdict is what counts
		}
		f.Status.Members = append(f.Status.Members, one)
	}
}

func moment(was *metav1.Time, is time.Time, slack time.Duration) *metav1.Time {
	if was != nil && is.Sub(was.Time).Abs() <= slack {
		return was
	}
	t := metav1.NewTime(is.Truncate(time.Second))
	return &t
}

// rtt keeps the shown value until the measured one is more than a fifth off.
func rtt(was string, is time.Duration) string {
	if is == 0 {
		return ""
	}
	if shown, err := time.ParseDuration(was); err == nil && (shown-is).Abs() < shown/5+time.Millisecond {
		return was
	}
	return is.Round(time.Millisecond).String()
}

func cut(s string) string {
	if len(s) > maxCause {
		return s[:maxCause]
	}
	return s
}
