package tunnel

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// Set is the paths to all peer gateways of the current table.
type Set struct {
	cfg  PathConfig
	deps PathDeps

	mu    sync.Mutex
	ctx   context.Context // of Run; nil outside it
	paths map[Key]*entry
	heat  map[federation.ClusterName]Heat
	told  bool                // somebody has said what is in heat
	going map[*entry]struct{} // no longer in the table, with streams that are still under way
	work  sync.WaitGroup
}

type entry struct {
	path *Path
	stop context.CancelFunc // nil until Run has started it
	gone atomic.Bool        // its changes are nobody's business any more
}

// NewSet checks cfg.
func NewSet(cfg PathConfig, deps PathDeps) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Set{cfg: cfg, deps: deps, paths: map[Key]*entry{}, going: map[*entry]struct{}{}}, nil
}

// Run lets the paths live until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, e := range s.paths {
		s.start(e)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

// start runs a path; the caller holds the lock.
func (s *Set) start(e *entry) {
	ctx, stop := context.WithCancel(s.ctx)
	e.stop = stop
	s.work.Go(func() {
		_ = e.path.Run(ctx)
		stop()
		s.mu.Lock()
		delete(s.going, e)
		s.mu.Unlock()
	})
}

// Sync makes the set equal to keys. A path that stays keeps its tunnels. One that goes
// takes no more streams, and those that it has end in their own time: a gateway that
// drains leaves the table before its clients leave it. Review ends those of a peer that
// may no longer be called.
func (s *Set) Sync(keys []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(map[Key]bool, len(keys))
	for _, k := range keys {
		want[k] = true
		if s.paths[k] != nil {
			continue
		}
		e := s.enter(k)
		s.paths[k] = e
		if s.ctx != nil {
			s.start(e)
		}
	}
	for k, e := range s.paths {
		if !want[k] {
			delete(s.paths, k)
			s.retire(e)
		}
	}
}

// enter makes the path to k, which tells of its changes until it is gone.
func (s *Set) enter(k Key) *entry {
	e := &entry{}
	deps := s.deps
	deps.OnChange = func(k Key, st routing.PathState, cause string) {
		if e.gone.Load() {
			return
		}
		s.deps.Metrics.changed(k, string(st))
		if s.deps.OnChange != nil {
			s.deps.OnChange(k, st, cause)
		}
	}
	e.path = NewPath(k, s.cfg, deps)
	if s.told {
		e.path.heat.Store(uint32(s.heat[k.Cluster])) // it has never been wanted for more
	}
	return e
}

// retire lets a path end after its streams; the caller holds the lock.
func (s *Set) retire(e *entry) {
	e.gone.Store(true)
	if e.stop == nil {
		return // it has never run
	}
	s.going[e] = struct{}{}
	e.path.Retire()
}

// Heat says what the paths to each cluster are wanted for, those included that Sync adds
// later; a cluster that the map lacks is Cold. Until the first call all are Hot. The map
// is the set's from then on.
func (s *Set) Heat(clusters map[federation.ClusterName]Heat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heat, s.told = clusters, true
	for k, e := range s.paths {
		e.path.Heat(clusters[k.Cluster])
	}
}

// States tells of each cluster the best state of the paths to it: Up, then Unknown.
func (s *Set) States() map[federation.ClusterName]routing.PathState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := map[federation.ClusterName]routing.PathState{}
	for k, e := range s.paths {
		best, known := states[k.Cluster]
		if state := e.path.State(); !known || state == routing.PathUp || best == routing.PathDown {
			states[k.Cluster] = state
		}
	}
	return states
}

// Path returns the path to a peer gateway; nil when the table does not have it.
func (s *Set) Path(k Key) *Path {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.paths[k]; e != nil {
		return e.path
	}
	return nil
}

// Find returns the path to the peer gateway of that name, whatever its address.
func (s *Set) Find(c federation.ClusterName, instance string) *Path {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range s.paths {
		if k.Cluster == c && k.Instance == instance {
			return e.path
		}
	}
	return nil
}

// Review ends the tunnels that we have dialled and that judge has an error for, with
// that error, and returns how many those were.
func (s *Set) Review(judge func(*Tunnel) error) int {
	s.mu.Lock()
	var ts []*Tunnel
	for _, e := range s.paths {
		ts = append(ts, e.path.tunnels()...)
	}
	for e := range s.going {
		ts = append(ts, e.path.tunnels()...)
	}
	s.mu.Unlock()
	return Review(ts, judge)
}

// Review closes the tunnels that judge has an error for, with that error, and
// returns how many those were.
func Review(ts []*Tunnel, judge func(*Tunnel) error) int {
	closed := 0
	for _, t := range ts {
		if err := judge(t); err != nil {
			t.Close(err)
			closed++
		}
	}
	return closed
}

// Views lists all paths by cluster, instance and address.
func (s *Set) Views() []View {
	s.mu.Lock()
	paths := make([]*Path, 0, len(s.paths))
	for _, e := range s.paths {
		paths = append(paths, e.path)
	}
	s.mu.Unlock()
	views := make([]View, len(paths))
	for i, p := range paths {
		views[i] = p.View()
	}
	slices.SortFunc(views, func(a, b View) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Address, b.Address))
	})
	return views
}
