package serviceimport

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// errExhausted is returned when no egress port is free.
var errExhausted = fmt.Errorf("all %d egress ports are taken", api.EgressPortMax-api.EgressPortMin+1)

// allotment keeps which egress port belongs to which imported service port.
// Safe for concurrent use.
type allotment struct {
	mu    sync.Mutex
	ports map[federation.ServicePort]engine.EgressPort
	taken map[uint16]federation.ServicePort
	next  uint16 // where the search begins: freed ports are reused late
}

func newAllotment() *allotment {
	return &allotment{
		ports: map[federation.ServicePort]engine.EgressPort{},
		taken: map[uint16]federation.ServicePort{},
		next:  api.EgressPortMin,
	}
}

// adopt takes over what an annotation says. A port that another service port holds
// is left to that one: the caller's allot gives a new one.
func (a *allotment) adopt(name federation.ServiceName, said map[uint16]uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, number := range slices.Sorted(maps.Keys(said)) {
		key := federation.ServicePort{Service: name, Port: number}
		if _, has := a.ports[key]; has {
			continue
		}
		if _, other := a.taken[said[number]]; other {
			continue
		}
		a.take(key, said[number])
	}
}

// allot makes sure that exactly the wanted ports of a service have an egress port:
// those that have one keep it, those that are gone give it back. It reports whether
// anything changed.
func (a *allotment) allot(name federation.ServiceName, wanted map[uint16]string) (got map[uint16]uint16, changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.ports {
		if _, want := wanted[key.Port]; key.Service == name && !want {
			a.free(key)
			changed = true
		}
	}
	got = map[uint16]uint16{}
	for _, number := range slices.Sorted(maps.Keys(wanted)) {
		key := federation.ServicePort{Service: name, Port: number}
		have, ok := a.ports[key]
		if !ok {
			free, found := a.search()
			if !found {
				err = errExhausted
				continue
			}
			have = a.take(key, free)
			changed = true
		}
		if have.AppProtocol != wanted[number] {
			have.AppProtocol = wanted[number]
			a.ports[key] = have
			changed = true
		}
		got[number] = have.Port
	}
	return got, changed, err
}

// release gives back all ports of a service.
func (a *allotment) release(name federation.ServiceName) (changed bool) {
	_, changed, _ = a.allot(name, nil)
	return changed
}

// snapshot is a copy for the engine.
func (a *allotment) snapshot() map[federation.ServicePort]engine.EgressPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.ports)
}

func (a *allotment) take(key federation.ServicePort, port uint16) engine.EgressPort {
	one := engine.EgressPort{Port: port}
	a.ports[key], a.taken[port] = one, key
	return one
}

func (a *allotment) free(key federation.ServicePort) {
	delete(a.taken, a.ports[key].Port)
	delete(a.ports, key)
}

func (a *allotment) search() (uint16, bool) {
	const size = api.EgressPortMax - api.EgressPortMin + 1
	for i := range size {
		port := uint16(api.EgressPortMin + (int(a.next)-api.EgressPortMin+i)%size)
		if _, is := a.taken[port]; !is {
			a.next = port + 1
			if a.next > api.EgressPortMax {
				a.next = api.EgressPortMin
			}
			return port, true
		}
	}
	return 0, false
}

// format writes the annotation: "80=20001,443=20002", by service port.
func format(ports map[uint16]uint16) string {
	var out []string
	for _, number := range slices.Sorted(maps.Keys(ports)) {
		out = append(out, fmt.Sprintf("%d=%d", number, ports[number]))
	}
	return strings.Join(out, ",")
}

// parse reads the annotation back. What can be read is returned beside the error.
func parse(text string) (map[uint16]uint16, error) {
	out := map[uint16]uint16{}
	if text == "" {
		return out, nil
	}
	var errs []error
	for _, part := range strings.Split(text, ",") {
		left, right, _ := strings.Cut(part, "=")
		number, err1 := strconv.ParseUint(left, 10, 16)
		port, err2 := strconv.ParseUint(right, 10, 16)
		if err := cmp.Or(err1, err2); err != nil || number == 0 {
			errs = append(errs, fmt.Errorf("%q: want service-port=egress-port", part))
			continue
		}
		if port < api.EgressPortMin || port > api.EgressPortMax {
			errs = append(errs, fmt.Errorf("%q: egress ports lie between %d and %d", part, api.EgressPortMin, api.EgressPortMax))
			continue
		}
		out[uint16(number)] = uint16(port)
	}
	return out, errors.Join(errs...)
}
