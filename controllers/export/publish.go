package export

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

const (
	valid    = string(mcs.ServiceExportConditionValid)
	ready    = string(mcs.ServiceExportConditionReady)
	conflict = string(mcs.ServiceExportConditionConflict)
	pending  = string(mcs.ServiceExportReasonPending)
	failed   = string(mcs.ServiceExportReasonFailed)
)

// publish checks an export, publishes it if it is new, and writes the outcome into
// its status (in memory).
func (c *Controller) publish(ctx context.Context, name federation.ServiceName, export *mcs.ServiceExport, service *corev1.Service) ctrl.Result {
	list, generation := &export.Status.Conditions, export.Generation
	if reason, message := invalid(name, service); reason != "" {
		condition.False(list, valid, reason, message, generation)
		return c.retract(ctx, name, export)
	}
	ports, refused := tcpPorts(service)
	if len(refused) > 0 {
		condition.False(list, api.ConditionProtocolsSupported, api.ReasonUnsupportedProtocol, "Causeway carries TCP; not exported: "+strings.Join(refused, ", "), generation)
	} else {
		condition.True(list, api.ConditionProtocolsSupported, api.ReasonTCPOnly, "every port is exported", generation)
	}
	if len(ports) == 0 {
		condition.False(list, valid, api.ReasonUnsupportedProtocol, "the Service has no TCP port; Causeway carries TCP", generation)
		return c.retract(ctx, name, export)
	}
	condition.True(list, valid, string(mcs.ServiceExportReasonValid), "the Service can be exported", generation)

	view := c.engine.View()
	if !view.Configured || view.Self == "" {
		condition.False(list, ready, pending, "waits for a MeshFederation of this cluster to be in force", generation)
		return ctrl.Result{}
	}
	want := federation.Export{
		Cluster: view.Self, Service: name, Ports: ports,
		EarlyData: export.Annotations[api.AnnotationEarlyData] == api.EarlyDataAllow,
		Headless:  service.Spec.ClusterIP == corev1.ClusterIPNone,
	}
	have := own(view, name)
	if have == nil || !same(*have, want) {
		got, err := c.engine.SetExport(ctx, want)
		if err != nil {
			condition.False(list, ready, failed, unpublished(view, err), generation)
			return ctrl.Result{RequeueAfter: retry}
		}
		have = &got
	}
	want.Order = have.Order
	if want.Headless {
		condition.False(list, ready, api.ReasonUnsupported, "published, but a headless Service cannot be reached from other clusters yet: give it a cluster IP", generation)
	} else {
		condition.True(list, ready, string(mcs.ServiceExportReasonExported), "published to the federation", generation)
	}
	conflicts(list, view, want, generation)
	return ctrl.Result{}
}

// retract withdraws an export that has become invalid.
func (c *Controller) retract(ctx context.Context, name federation.ServiceName, export *mcs.ServiceExport) ctrl.Result {
	list, generation := &export.Status.Conditions, export.Generation
	condition.False(list, ready, failed, "not exported: see the condition Valid", generation)
	meta.RemoveStatusCondition(list, conflict) // what is not exported conflicts with nothing
	view := c.engine.View()
	if !view.StoreSynced || own(view, name) == nil {
		return ctrl.Result{}
	}
	if err := c.engine.RemoveExport(ctx, name); err != nil {
		condition.False(list, ready, failed, "not withdrawn yet: "+unpublished(view, err), generation)
		return ctrl.Result{RequeueAfter: retry}
	}
	return ctrl.Result{}
}

// unpublished is for people: it says what stands and what to look at, and is the
// same text at each try.
func unpublished(view *engine.View, err error) string {
	text := "the federation does not know of it yet; it is tried again every 2 s"
	switch {
	case view.NameConflict != "":
		return text + ": " + view.NameConflict
	case !view.Store.Connected && view.Store.Message != "":
		return text + ": the policy store does not answer: " + view.Store.Message
	}
	return text + ": " + err.Error()
}

// invalid gives mcs-api's reason why a Service cannot be exported, or "".
func invalid(name federation.ServiceName, service *corev1.Service) (reason, message string) {
	switch {
	case service == nil || !service.DeletionTimestamp.IsZero():
		return string(mcs.ServiceExportReasonNoService),
			fmt.Sprintf("there is no Service %q in namespace %q: create it, or delete this ServiceExport", name.Name, name.Namespace)
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return string(mcs.ServiceExportReasonInvalidServiceType),
			"a Service of type ExternalName has no endpoints to export: use ClusterIP"
	}
	return "", ""
}

// tcpPorts splits a Service's ports into those that Causeway carries and the names
// of the others.
func tcpPorts(service *corev1.Service) (ports []federation.ExportedPort, refused []string) {
	for _, p := range service.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
			refused = append(refused, fmt.Sprintf("port %d (%s, %s)", p.Port, nameOr(p.Name, "unnamed"), p.Protocol))
			continue
		}
		port := federation.ExportedPort{Name: p.Name, Port: uint16(p.Port), Protocol: federation.TCP}
		if p.AppProtocol != nil {
			port.AppProtocol = *p.AppProtocol
		}
		ports = append(ports, port)
	}
	slices.SortFunc(ports, func(a, b federation.ExportedPort) int { return int(a.Port) - int(b.Port) })
	return ports, refused
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

func same(have, want federation.Export) bool {
	return have.EarlyData == want.EarlyData && have.Headless == want.Headless && slices.Equal(have.Ports, want.Ports)
}

// conflicts compares an export with the one of the lowest order, which decides.
func conflicts(list *[]metav1.Condition, view *engine.View, mine federation.Export, generation int64) {
	for _, winner := range view.Exports[mine.Service] { // the lowest order comes first
		if winner.Cluster == mine.Cluster || winner.Order >= mine.Order {
			break
		}
		switch {
		case winner.Headless != mine.Headless:
			condition.True(list, conflict, string(mcs.ServiceExportReasonTypeConflict),
				fmt.Sprintf("cluster %q exported this service first, %s; here it is %s, which does not count", winner.Cluster, kind(winner), kind(mine)), generation)
			return
		case !slices.Equal(winner.Ports, mine.Ports):
			condition.True(list, conflict, string(mcs.ServiceExportReasonPortConflict),
				fmt.Sprintf("cluster %q exported this service first, with the ports %s; here they are %s: where they differ, those of %q count",
					winner.Cluster, portText(winner.Ports), portText(mine.Ports), winner.Cluster), generation)
			return
		}
		break
	}
	condition.False(list, conflict, string(mcs.ServiceExportReasonNoConflicts), "no older export says otherwise", generation)
}

func kind(x federation.Export) string {
	if x.Headless {
		return "headless"
	}
	return "with a cluster IP"
}

func portText(ports []federation.ExportedPort) string {
	var out []string
	for _, p := range ports {
		text := fmt.Sprintf("%d", p.Port)
		if p.Name != "" {
			text = p.Name + "=" + text
		}
		if p.AppProtocol != "" {
			text += " (" + p.AppProtocol + ")"
		}
		out = append(out, text)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
