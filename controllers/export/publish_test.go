package export

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

var checkout = federation.ServiceName{Namespace: "shop", Name: "checkout"}

func TestOnlyTCPPortsAreExportedAndTheOthersAreNamed(t *testing.T) {
	service := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "plain", Port: 70},
	}}}
	ports, refused := tcpPorts(service)
	if len(ports) != 2 || ports[0].Port != 70 || ports[1].Port != 80 {
		t.Errorf("exported: %+v", ports)
	}
	if len(refused) != 1 || !strings.Contains(refused[0], "53") || !strings.Contains(refused[0], "dns") || !strings.Contains(refused[0], "UDP") {
		t.Errorf("refused: %v", refused)
	}
}

func TestServiceThatCannotBeExportedSaysWhatToDo(t *testing.T) {
	if _, message := invalid(checkout, nil); !strings.Contains(message, "create it") {
		t.Errorf("no Service: %q", message)
	}
	external := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}}
	if _, message := invalid(checkout, external); !strings.Contains(message, "use ClusterIP") {
		t.Errorf("ExternalName: %q", message)
	}
	if reason, _ := invalid(checkout, &corev1.Service{}); reason != "" {
		t.Errorf("a good Service: %s", reason)
	}
}

func TestLaterExportWithOtherPortsNamesTheWinner(t *testing.T) {
	export := func(c federation.ClusterName, order uint64, port uint16) federation.Export {
		return federation.Export{Cluster: c, Service: checkout, Order: order, Ports: []federation.ExportedPort{{Port: port, Protocol: federation.TCP}}}
	}
	first, later := export("us-east", 1, 80), export("us-west", 2, 81)
	view := &engine.View{Exports: map[federation.ServiceName][]federation.Export{checkout: {first, later}}}
	var loser, winner []metav1.Condition
	conflicts(&loser, view, later, 1)
	conflicts(&winner, view, first, 1)
	if c := meta.FindStatusCondition(loser, conflict); c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, `"us-east"`) {
		t.Errorf("the loser says %+v", c)
	}
	if c := meta.FindStatusCondition(winner, conflict); c != nil && c.Status == metav1.ConditionTrue {
		t.Errorf("the winner says %+v", c)
	}
}
