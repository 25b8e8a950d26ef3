package serviceimport

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// outcome is what became of an import in one round.
type outcome struct {
	exhausted, headless bool
	endpoints           int
	failed              []string // "gateway gw-1, port 80: address in use"
	foreign             string   // what stands in the way: `Service "derived-x"`
	wait                time.Duration
}

func setStatus(i *mcs.ServiceImport, m merged, o outcome) {
	i.Status.Clusters = nil
	for _, cluster := range m.clusters {
		i.Status.Clusters = append(i.Status.Clusters, mcs.ClusterStatus{Cluster: cluster})
	}
	i.Status.EndpointSliceObjects = mcs.EndpointSliceObjectsAbsent
	if o.endpoints > 0 {
		i.Status.EndpointSliceObjects = mcs.EndpointSliceObjectsPresent
	}
	ready := string(mcs.ServiceImportConditionReady)
	list := &i.Status.Conditions
	switch {
	case o.foreign != "":
		condition.False(list, ready, api.ReasonNotManaged, fmt.Sprintf("%s exists and was not created by Causeway: delete it, or label it %s=%s to hand it over", o.foreign, api.LabelManagedBy, api.ManagedBy), i.Generation)
	case o.headless:
		condition.False(list, ready, api.ReasonUnsupported, "headless services cannot be reached from other clusters yet: give the exported Service a cluster IP", i.Generation)
	case o.exhausted:
		condition.False(list, ready, api.ReasonEgressPortsExhausted, fmt.Sprintf("%v: export fewer service ports to this cluster's namespaces; imports that have their ports are not touched", errExhausted), i.Generation)
	case len(o.failed) > 0:
		condition.False(list, ready, api.ReasonEgressPortUnavailable, "free the port there, or delete the annotation "+api.AnnotationEgressPorts+" to get another: "+strings.Join(o.failed, "; "), i.Generation)
	case o.endpoints == 0:
		condition.False(list, ready, string(mcs.ServiceImportReasonPending), "waits for a gateway of this cluster to connect to the operator", i.Generation)
	default:
		condition.True(list, ready, string(mcs.ServiceImportReasonReady), "clients reach it through this cluster's gateways", i.Generation)
	}
}

// failedPorts tells which gateways could not open a port of a service.
func failedPorts(view *engine.View, name federation.ServiceName) []string {
	var out []string
	for _, g := range view.Gateways {
		for port, reason := range g.FailedPorts {
			if port.Service == name && g.Connected {
				out = append(out, fmt.Sprintf("gateway %s, port %d: %s", g.Instance, port.Port, reason))
			}
		}
	}
	slices.Sort(out)
	return out
}
