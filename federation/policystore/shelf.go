package policystore

import (
	"maps"
	"slices"
)

// shelf holds the values of one kind by key, and knows what has changed since it was last
// asked: a State is made of the one before it and of that.
type shelf[V any] struct {
	values map[string]V
	// before has, of each key that changed, the value when changes was last called; nil
	// is none.
	before map[string]*V
}

func newShelf[V any]() *shelf[V] {
	return &shelf[V]{values: map[string]V{}, before: map[string]*V{}}
}

func (s *shelf[V]) put(key string, v V) {
	s.touch(key)
	s.values[key] = v
}

func (s *shelf[V]) drop(key string) {
	if _, ok := s.values[key]; ok {
		s.touch(key)
		delete(s.values, key)
	}
}

func (s *shelf[V]) retain(listed map[string]bool) {
	for key := range s.values {
		if !listed[key] {
			s.drop(key)
		}
	}
}

func (s *shelf[V]) touch(key string) {
	if _, ok := s.before[key]; ok {
		return
	}
	var was *V
	if v, ok := s.values[key]; ok {
		was = &v
	}
	s.before[key] = was
}

// changes are the values that are gone since it was last called, and those that are new;
// a value that was replaced is in both.
func (s *shelf[V]) changes() (gone, fresh []V) {
	for key, was := range s.before {
		if was != nil {
			gone = append(gone, *was)
		}
		if now, ok := s.values[key]; ok {
			fresh = append(fresh, now)
		}
	}
	clear(s.before)
	return gone, fresh
}

// indexed is last with the changes; last itself stays as it is, and is returned if there
// are none.
func indexed[K comparable, V any](last map[K]V, s *shelf[V], by func(V) K) map[K]V {
	gone, fresh := s.changes()
	if last != nil && len(gone)+len(fresh) == 0 {
		return last
	}
	out := make(map[K]V, max(0, len(last)+len(fresh)-len(gone)))
	maps.Copy(out, last)
	for _, v := range gone {
		delete(out, by(v))
	}
	for _, v := range fresh {
		out[by(v)] = v
	}
	return out
}

// merged is last, in the order of compare, without gone and with fresh. No two values that
// exist at one time compare as equal. last stays as it is; gone and fresh are sorted.
func merged[V any](last, gone, fresh []V, compare func(a, b *V) int) []V {
	for _, list := range [][]V{gone, fresh} {
		slices.SortFunc(list, func(a, b V) int { return compare(&a, &b) })
	}
	var out []V
	out = slices.Grow(out, max(0, len(last)+len(fresh)-len(gone)))
	by := func(a, b V) int { return compare(&a, &b) }
	for len(gone)+len(fresh) > 0 {
		old := len(fresh) == 0 || len(gone) > 0 && compare(&gone[0], &fresh[0]) <= 0
		list := &fresh
		if old {
			list = &gone
		}
		next := (*list)[0]
		*list = (*list)[1:]
		at, _ := slices.BinarySearchFunc(last, next, by)
		out, last = append(out, last[:at]...), last[at:]
		if old {
			last = last[1:]
		} else {
			out = append(out, next)
		}
	}
	return append(out, last...)
}
