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
	lots  map[federation.ServiceName]map[uint16]lot
	taken map[uint16]federation.ServicePort
	next  uint16 // where the search begins: freed ports are reused late
	news  bool   // what is written has changed since it was last asked for
}

// lot is one service port's share.
type lot struct {
	engine.EgressPort
	written bool // in the import's annotation: only then may a gateway listen there
}

// newAllotment has news: even an empty one is to be told, once.
func newAllotment() *allotment {
	return &allotment{
		lots:  map[federation.ServiceName]map[uint16]lot{},
		taken: map[uint16]federation.ServicePort{},
		next:  api.EgressPortMin, news: true,
	}
}

// mirror makes a service's lots what its annotation says. A port that another
// service port holds is left to that one: allot gives a new one.
func (a *allotment) mirror(name federation.ServiceName, said map[uint16]engine.EgressPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := len(said) == len(a.lots[name])
	for number, one := range said {
		same = same && a.lots[name][number] == lot{one, true}
	}
	if same {
		return
	}
	a.keep(name, nil)
	for _, number := range slices.Sorted(maps.Keys(said)) {
		if _, other := a.taken[said[number].Port]; !other {
			a.put(name, number, lot{said[number], true})
		}
	}
}

// allot makes sure that exactly the wanted ports of a service, given with their
// protocols, have an egress port: those that have one keep it, those that are gone
// give it back. The error is errExhausted; what could be had is returned beside it.
func (a *allotment) allot(name federation.ServiceName, wanted map[uint16]string) (got map[uint16]uint16, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(name, wanted)
	got = map[uint16]uint16{}
	for _, number := range slices.Sorted(maps.Keys(wanted)) {
		one, has := a.lots[name][number]
		if !has {
			free, found := a.search()
			if !found {
				err = errExhausted
				continue
			}
			one.Port = free
		}
		if !has || one.AppProtocol != wanted[number] {
			one.AppProtocol = wanted[number]
			a.put(name, number, one)
		}
		got[number] = one.Port
	}
	return got, err
}

// confirm says that a service's annotation is written.
func (a *allotment) confirm(name federation.ServiceName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for number, one := range a.lots[name] {
		if !one.written {
			one.written = true
			a.put(name, number, one)
		}
	}
}

// release gives back all ports of a service.
func (a *allotment) release(name federation.ServiceName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(name, nil)
}

// changes is a copy of what is written, and whether it differs from the last one.
func (a *allotment) changes() (out map[federation.ServicePort]engine.EgressPort, changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.news {
		return nil, false
	}
	a.news = false
	out = make(map[federation.ServicePort]engine.EgressPort, len(a.taken))
	for name, lots := range a.lots {
		for number, one := range lots {
			if one.written {
				out[federation.ServicePort{Service: name, Port: number}] = one.EgressPort
			}
		}
	}
	return out, true
}

func (a *allotment) put(name federation.ServiceName, number uint16, one lot) {
	if a.lots[name] == nil {
		a.lots[name] = map[uint16]lot{}
	}
	a.lots[name][number] = one
	a.taken[one.Port] = federation.ServicePort{Service: name, Port: number}
	a.news = a.news || one.written
}

// keep gives back what a service no longer wants.
func (a *allotment) keep(name federation.ServiceName, wanted map[uint16]string) {
	for number, one := range a.lots[name] {
		if _, want := wanted[number]; !want {
			delete(a.taken, one.Port)
			delete(a.lots[name], number)
			a.news = a.news || one.written
		}
	}
	if len(a.lots[name]) == 0 {
		delete(a.lots, name)
	}
}

func (a *allotment) search() (uint16, bool) {
	const size = api.EgressPortMax - api.EgressPortMin + 1
	if len(a.taken) >= size {
		return 0, false
	}
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
