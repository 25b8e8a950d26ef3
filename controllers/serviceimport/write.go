package serviceimport

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// annotationDerived names the derived Service on its import, as mcs-api's own
// controller does.
const annotationDerived = "multicluster.kubernetes.io/derived-service"

// DerivedName is the name of an import's Service: "derived-" and ten characters of
// a hash, as mcs-api proposes. It cannot clash with the exported Service's name.
func DerivedName(name federation.ServiceName) string {
	sum := sha256.Sum256([]byte(name.String()))
	text := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return "derived-" + strings.ToLower(text[:10])
}

// writeImport creates or updates the ServiceImport, without its status. It returns
// nil if the namespace went away meanwhile.
func (c *Controller) writeImport(ctx context.Context, name federation.ServiceName, m merged, ports map[uint16]uint16, have *mcs.ServiceImport) (*mcs.ServiceImport, error) {
	want := have
	if have == nil {
		want = &mcs.ServiceImport{ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name,
			Labels: map[string]string{api.LabelManagedBy: api.ManagedBy},
		}}
	} else {
		want = have.DeepCopy()
	}
	if want.Annotations == nil {
		want.Annotations = map[string]string{}
	}
	want.Annotations[api.AnnotationEgressPorts] = format(ports)
	want.Annotations[annotationDerived] = DerivedName(name)
	want.Spec.Ports = m.importPorts()
	want.Spec.Type = mcs.ClusterSetIP
	if m.headless {
		want.Spec.Type, want.Spec.IPs = mcs.Headless, nil
		delete(want.Annotations, annotationDerived)
	}
	if have == nil {
		err := c.client.Create(ctx, want)
		if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil, nil // the watch brings what is there
		}
		return want, err
	}
	return want, c.patch(ctx, have, want)
}

// writeIPs copies the derived Service's addresses into the import.
func (c *Controller) writeIPs(ctx context.Context, i *mcs.ServiceImport, service *corev1.Service) error {
	before := i.DeepCopy()
	i.Spec.IPs, i.Spec.IPFamilies = nil, service.Spec.IPFamilies
	for _, ip := range service.Spec.ClusterIPs {
		if ip != "" && ip != corev1.ClusterIPNone {
			i.Spec.IPs = append(i.Spec.IPs, ip)
		}
	}
	return c.patch(ctx, before, i)
}

// errBehind: an object is there that the cache does not show yet.
var errBehind = errors.New("the cache is behind")

// notManagedError: an object that we need is somebody else's.
type notManagedError struct{ what string }

func (e notManagedError) Error() string { return e.what + " was not created by Causeway" }

// writeService creates or updates the derived Service. It returns notManagedError
// when there is one of that name that is not ours.
func (c *Controller) writeService(ctx context.Context, i *mcs.ServiceImport, m merged) (*corev1.Service, error) {
	name := nameOf(i)
	var have corev1.Service
	err := c.client.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: DerivedName(name)}, &have)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err == nil && !managed(&have) {
		return nil, notManagedError{fmt.Sprintf("Service %q", have.Name)}
	}
	want := have.DeepCopy()
	want.Namespace, want.Name = name.Namespace, DerivedName(name)
	c.own(i, want)
	want.Spec.Type = corev1.ServiceTypeClusterIP
	want.Spec.Selector = nil
	want.Spec.Ports = nil
	for _, p := range m.ports {
		want.Spec.Ports = append(want.Spec.Ports, corev1.ServicePort{
			Name: portName(p, len(m.ports)), Protocol: corev1.ProtocolTCP, AppProtocol: pointer(p.AppProtocol),
			Port: int32(p.Port), TargetPort: intstr.FromInt32(int32(p.Port)),
		})
	}
	if err != nil {
		err = c.client.Create(ctx, want)
		if apierrors.IsAlreadyExists(err) {
			return nil, errBehind
		}
		return want, err
	}
	return want, c.patch(ctx, &have, want)
}

// portName is the port's own, or a made-up one where a Service of several ports
// must name each.
func portName(p federation.ExportedPort, of int) string {
	if p.Name == "" && of > 1 {
		return "port-" + intstrOf(p.Port)
	}
	return p.Name
}

func intstrOf(port uint16) string { i := intstr.FromInt32(int32(port)); return i.String() }

// own labels an object as this import's.
func (c *Controller) own(i *mcs.ServiceImport, o client.Object) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[api.LabelManagedBy] = api.ManagedBy
	labels[mcs.LabelServiceName] = i.Name
	o.SetLabels(labels)
	// It fails only for another controller's object, which managed() has ruled out.
	_ = ctrl.SetControllerReference(i, o, c.client.Scheme())
}

// writeSlices keeps one EndpointSlice for each address family and returns how many
// endpoints there are.
func (c *Controller) writeSlices(ctx context.Context, view *engine.View, i *mcs.ServiceImport, service *corev1.Service, m merged, ports map[uint16]uint16) (int, time.Duration, error) {
	var list discoveryv1.EndpointSliceList
	if err := c.client.List(ctx, &list, client.InNamespace(i.Namespace), client.MatchingLabels{
		discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: api.ManagedBy,
	}); err != nil {
		return 0, 0, err
	}
	existing := addressesOf(list.Items)
	usable, declined := candidates(view.Gateways, servicePorts(nameOf(i), m))
	now := c.now()
	addresses, wait := next(now, existing, usable, declined, c.seen.see(now, usable, existing))
	families := map[discoveryv1.AddressType][]string{}
	for _, address := range addresses {
		family := discoveryv1.AddressTypeIPv4
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
			family = discoveryv1.AddressTypeIPv6
		}
		families[family] = append(families[family], address)
	}
	for _, slice := range list.Items { // a family that has no gateway any more
		if _, still := families[slice.AddressType]; !still {
			families[slice.AddressType] = nil
		}
	}
	for _, family := range slices.Sorted(maps.Keys(families)) {
		if err := c.writeSlice(ctx, i, service, m, ports, family, families[family]); err != nil {
			return 0, 0, err
		}
	}
	return len(addresses), wait, nil
}

func (c *Controller) writeSlice(ctx context.Context, i *mcs.ServiceImport, service *corev1.Service, m merged, ports map[uint16]uint16, family discoveryv1.AddressType, addresses []string) error {
	key := types.NamespacedName{Namespace: i.Namespace, Name: service.Name + "-" + strings.ToLower(string(family))}
	var have discoveryv1.EndpointSlice
	err := c.client.Get(ctx, key, &have)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil && !managed(&have) {
		return notManagedError{fmt.Sprintf("EndpointSlice %q", have.Name)}
	}
	want := have.DeepCopy()
	want.Namespace, want.Name, want.AddressType = key.Namespace, key.Name, family
	c.own(i, want)
	want.Labels[discoveryv1.LabelServiceName] = service.Name
	want.Labels[discoveryv1.LabelManagedBy] = api.ManagedBy
	want.Endpoints = []discoveryv1.Endpoint{}
	yes, no := true, false
	for _, address := range addresses {
		want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{address},
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		})
	}
	want.Ports = nil
	for _, p := range m.ports {
		number, has := ports[p.Port]
		if !has {
			continue // exhausted: the condition says so
		}
		name, protocol, egress := portName(p, len(m.ports)), corev1.ProtocolTCP, int32(number)
		want.Ports = append(want.Ports, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &egress, AppProtocol: pointer(p.AppProtocol)})
	}
	if err != nil {
		return client.IgnoreAlreadyExists(c.client.Create(ctx, want))
	}
	return c.patch(ctx, &have, want)
}

// patch writes what differs, and nothing if nothing does.
func (c *Controller) patch(ctx context.Context, have, want client.Object) error {
	if equality.Semantic.DeepEqual(have, want) {
		return nil
	}
	return c.client.Patch(ctx, want, client.MergeFrom(have))
}

func addressesOf(list []discoveryv1.EndpointSlice) []string {
	var out []string
	for _, slice := range list {
		for _, e := range slice.Endpoints {
			out = append(out, e.Addresses...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func servicePorts(name federation.ServiceName, m merged) []federation.ServicePort {
	var out []federation.ServicePort
	for _, p := range m.ports {
		out = append(out, federation.ServicePort{Service: name, Port: p.Port})
	}
	return out
}
