// Package trigger decides when controllers look again: on the engine's signal,
// on becoming leader, and after a while in any case.
//
// It owns the goroutine that waits; what to look at is the controller's to say.
// Source may be called from any goroutine; the goroutine that it starts ends
// with the context that controller-runtime starts it with.
//
// Invariants:
//  1. A burst of signals costs one round: the queue's keys are unique.
//  2. A signal is never lost: it is followed by a round at most Debounce later.
package trigger

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Signal is the part of the engine that says when its view changed.
type Signal interface {
	// Subscribe returns a coalesced signal and the function that ends it.
	Subscribe() (<-chan struct{}, func())
}

// Config says when and what.
type Config struct {
	Signal Signal
	// Elected closes when this replica becomes the leader. Nil: never.
	Elected <-chan struct{}
	// Debounce is how long a signal waits for more of them. Default 200 ms.
	Debounce time.Duration
	// Every bounds how long nothing is looked at. Default 10 s.
	Every time.Duration
	// Requests lists what to look at.
	Requests func(context.Context) []reconcile.Request
}

// Source gives cfg as a controller's source.
func Source(cfg Config) source.Source {
	if cfg.Debounce <= 0 {
		cfg.Debounce = 200 * time.Millisecond
	}
	if cfg.Every <= 0 {
		cfg.Every = 10 * time.Second
	}
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go loop(ctx, cfg, func() {
			for _, request := range cfg.Requests(ctx) {
				queue.Add(request)
			}
		})
		return nil
	})
}

func loop(ctx context.Context, cfg Config, round func()) {
	changed, end := cfg.Signal.Subscribe()
	defer end()
	elected := cfg.Elected
	for {
		round()
		timer := time.NewTimer(cfg.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-elected:
			elected = nil // closed for good: once is enough
		case <-timer.C:
		case <-changed:
			if !pause(ctx, cfg.Debounce) {
				timer.Stop()
				return
			}
		}
		timer.Stop()
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Leading says whether elected is closed: only then may the API be written to.
func Leading(elected <-chan struct{}) bool {
	select {
	case <-elected:
		return true
	default:
		return false
	}
}
