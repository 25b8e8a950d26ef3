package testbed

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// host is what TestMain got from Enter; tests only read it.
var host *Host

func TestMain(m *testing.M) {
	var err error
	if host, err = Enter(Outside{
		Listen: map[string]string{"us-east": "127.0.0.1:0"}, Dial: []string{nameOnHost + ":1"},
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newWorld makes a world of the first n of the default clusters and runs it until the
// test ends.
func newWorld(t *testing.T, n int, change func(*Config, *Deps)) *World {
	t.Helper()
	bin, err := FindBin()
	if err != nil {
		t.Fatal(err)
	}
	cfg, deps := DefaultConfig(), Deps{Host: host}
	cfg.Clusters, cfg.Bin, cfg.Dir = cfg.Clusters[:n], bin, t.TempDir()
	if change != nil {
		change(&cfg, &deps)
	}
	w, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running the world: %v", err)
		}
	})
	return w
}

func timeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
