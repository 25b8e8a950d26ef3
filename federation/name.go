package federation

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// ClusterName names one Kubernetes cluster within a federation: a DNS label
// (RFC 1123), at most 63 characters, unique in the federation.
type ClusterName string

// Region is a cluster's region, e.g. "eu-west"; by custom the value of the
// nodes' topology.kubernetes.io/region label.
type Region string

// Zone is a failure domain inside a region (topology.kubernetes.io/zone).
type Zone string

// Jurisdiction is the legal space that a cluster stands in, e.g. "EU". Empty
// means unknown, which residency rules read as "not allowed" (fail closed).
type Jurisdiction string

// TrustDomain is a SPIFFE trust domain name without the scheme, e.g.
// "mesh.example.org". Bundles are kept per trust domain and never merged.
type TrustDomain string

// ServiceName names a Kubernetes Service. By the namespace sameness of KEP-1645
// the same name means the same service in every cluster of the federation.
type ServiceName struct {
	Namespace string
	Name      string
}

func (s ServiceName) String() string { return s.Namespace + "/" + s.Name }

// Compare orders services by namespace, then name.
func (s ServiceName) Compare(o ServiceName) int {
	return cmp.Or(cmp.Compare(s.Namespace, o.Namespace), cmp.Compare(s.Name, o.Name))
}

// ServicePort is one port of a service: what is exported, counted, routed and
// authorized. Port is the Service's port number, not a container's.
type ServicePort struct {
	Service ServiceName
	Port    uint16
}

// String gives "namespace/name:port", which ParseServicePort reads back.
func (p ServicePort) String() string {
	return p.Service.String() + ":" + strconv.Itoa(int(p.Port))
}

// Compare orders service ports by service, then port number.
func (p ServicePort) Compare(o ServicePort) int {
	return cmp.Or(p.Service.Compare(o.Service), cmp.Compare(p.Port, o.Port))
}

// ParseServicePort reads "namespace/name:port". It accepts nothing else: no
// spaces, no missing part, no port 0.
func ParseServicePort(s string) (ServicePort, error) {
	svc, portText, ok := strings.Cut(s, ":")
	if !ok {
		return ServicePort{}, fmt.Errorf("service port %q: want namespace/name:port", s)
	}
	name, err := ParseServiceName(svc)
	if err != nil {
		return ServicePort{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return ServicePort{}, fmt.Errorf("service port %q: the port must be a number from 1 to 65535", s)
	}
	return ServicePort{Service: name, Port: uint16(port)}, nil
}

// ParseServiceName reads "namespace/name".
func ParseServiceName(s string) (ServiceName, error) {
	ns, name, ok := strings.Cut(s, "/")
	if !ok || ns == "" || name == "" || strings.ContainsAny(name, "/:") {
		return ServiceName{}, fmt.Errorf("service %q: want namespace/name", s)
	}
	return ServiceName{Namespace: ns, Name: name}, nil
}
