package ingress

import "sync"

// limit counts what is in use, in all and per key.
type limit[K comparable] struct {
	total, perKey int

	mu   sync.Mutex
	used map[K]int
	sum  int
}

func newLimit[K comparable](total, perKey int) *limit[K] {
	return &limit[K]{total: total, perKey: perKey, used: map[K]int{}}
}

// take says whether there is room for one more, and counts it.
func (l *limit[K]) take(k K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sum >= l.total || l.used[k] >= l.perKey {
		return false
	}
	l.sum++
	l.used[k]++
	return true
}

func (l *limit[K]) give(k K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum--
	if l.used[k]--; l.used[k] == 0 {
		delete(l.used, k)
	}
}
