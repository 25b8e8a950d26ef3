package export

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/condition"
	"github.com/causeway-mesh/causeway/federation"
)

// capacity is what a ServiceExport states of one endpoint; 0 is not stated.
type capacity struct{ weight, connections uint32 }

const (
	maxWeight      = 10_000
	maxConnections = 1_000_000
)

// statements remembers what each export has stated last that could be read, so that a
// slip of the pen changes no capacity. The zero value is empty; safe for concurrent use.
type statements struct {
	mu   sync.Mutex
	last map[federation.ServiceName]capacity
}

// read takes an export's annotations. faults say, for people, what could not be read
// and what is in force instead.
func (s *statements) read(name federation.ServiceName, annotations map[string]string) (one capacity, faults []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last[name]
	var fault string
	if one.weight, fault = number(annotations, api.AnnotationEndpointWeight, maxWeight, last.weight); fault != "" {
		faults = append(faults, fault)
	}
	if one.connections, fault = number(annotations, api.AnnotationEndpointConnections, maxConnections, last.connections); fault != "" {
		faults = append(faults, fault)
	}
	if s.last == nil {
		s.last = map[federation.ServiceName]capacity{}
	}
	s.last[name] = one
	return one, faults
}

func (s *statements) forget(name federation.ServiceName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, name)
}

// number reads an annotation, a whole number from 1 to most; last is what it was.
func number(annotations map[string]string, key string, most, last uint32) (n uint32, fault string) {
	text, stated := annotations[key]
	if !stated {
		return 0, ""
	}
	if v, err := strconv.ParseUint(text, 10, 32); err == nil && v >= 1 && v <= uint64(most) {
		return uint32(v), ""
	}
	stays := "the default stays in force"
	if last > 0 {
		stays = fmt.Sprintf("%d stays in force", last)
	}
	return last, fmt.Sprintf("annotation %s: %q is no whole number from 1 to %d; %s", key, shorten(text), most, stays)
}

// shorten keeps a condition's message readable, whatever was pasted.
func shorten(text string) string {
	if r := []rune(text); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return text
}

// tellCapacity writes what became of the annotations into the status (in memory).
func tellCapacity(export *mcs.ServiceExport, faults []string) {
	list, generation := &export.Status.Conditions, export.Generation
	_, weighs := export.Annotations[api.AnnotationEndpointWeight]
	_, bears := export.Annotations[api.AnnotationEndpointConnections]
	switch {
	case len(faults) > 0:
		condition.False(list, api.ConditionCapacityValid, api.ReasonInvalidAnnotation, strings.Join(faults, "; "), generation)
	case weighs || bears:
		condition.True(list, api.ConditionCapacityValid, api.ReasonCapacityStated, "the capacity that the annotations state is in force", generation)
	default:
		condition.True(list, api.ConditionCapacityValid, api.ReasonCapacityDefault, "each endpoint weighs 1; how many connections one bears is not stated", generation)
	}
}
