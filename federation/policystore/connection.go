package policystore

import (
	"context"
	"time"

	"google.golang.org/grpc/connectivity"
)

// connection is how a gRPC connection stands, by which we know sooner than by a request
// that is not answered.
type connection interface {
	GetState() connectivity.State
	// WaitForStateChange returns at once if the state is another one already, and false
	// when ctx ends.
	WaitForStateChange(ctx context.Context, from connectivity.State) bool
	Connect()
}

// rest waits for most, but only until a connection that was broken stands again: the store
// is back then. It waits for least in any case, so that a connection that always breaks at
// once is not followed in a circle. One that stood all along says nothing new.
func rest(ctx context.Context, conn connection, least, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	state := conn.GetState()
	pause(ctx, least)
	for {
		if state == connectivity.Idle {
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, state) {
			return
		}
		if state = conn.GetState(); state == connectivity.Ready {
			return
		}
	}
}

// untilBroken waits for most, but only until the connection breaks; for least in any case.
func untilBroken(ctx context.Context, conn connection, least, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	pause(ctx, least)
	conn.WaitForStateChange(ctx, connectivity.Ready)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
