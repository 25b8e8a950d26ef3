// Command causeway-demo is `make demo`: three real Kubernetes clusters in three
// regions on one machine, one service, a region that dies, traffic that moves.
//
// ONCE=1 (or --once) exits after the figures, non-zero if anything that the demo
// promises did not happen; otherwise everything stays up until Ctrl-C.
//
// POLICY_STORE= takes the endpoints of an etcd of your own, with POLICY_STORE_CA,
// POLICY_STORE_CERT and POLICY_STORE_KEY.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/e2e/testbed"
)

func main() {
	started := time.Now()
	store, err := userStore(os.Getenv)
	if err != nil {
		fail(err)
	}
	host, err := enter(store)
	if err != nil {
		fail(err)
	}
	once := flag.Bool("once", os.Getenv("ONCE") != "", "exit after the figures")
	out := flag.String("out", "out/demo", "directory for logs, samples and the kubeconfig; replaced")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &demo{started: started, once: *once, store: store}
	err = d.run(ctx, host, *out)
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "causeway-demo: interrupted before the end")
		os.Exit(interrupted)
	case err != nil:
		fail(err)
	}
}

// interrupted is the exit code of a demo that could not show what it promises.
const interrupted = 130

func fail(err error) {
	fmt.Fprintln(os.Stderr, "causeway-demo:", err)
	os.Exit(1)
}

// enter moves the program into its namespaces. The API servers' listeners are opened
// on the host's 127.0.0.1 before; port 0 is a free one.
func enter(store *mesh.UserStore) (*testbed.Host, error) {
	o := testbed.Outside{Listen: map[string]string{lost: "127.0.0.1:0", backup: "127.0.0.1:0", consumer: "127.0.0.1:0"}}
	if store != nil {
		o.Dial = store.Addrs()
		o.Before = func() (func() error, error) { return holdStore(store) }
	}
	return testbed.Enter(o)
}

func (d *demo) run(ctx context.Context, host *testbed.Host, out string) error {
	bin, err := testbed.FindBin()
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := freshDir(out); err != nil {
		return err
	}
	cfg := testbed.DefaultConfig()
	cfg.Bin, cfg.Dir = bin, out
	world, err := testbed.New(cfg, testbed.Deps{Host: host, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	worldCtx, stopWorld := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- world.Run(worldCtx) }()
	d.world, d.bin, d.out, d.ctx = world, bin, out, worldCtx
	err = d.play(ctx)
	d.say("cleaning up")
	stopWorld()
	return errors.Join(err, <-ended)
}

// marker names a directory as the demo's own, so that it may be emptied.
const marker = ".causeway-demo"

// freshDir empties a directory that an earlier demo made, or makes it.
func freshDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("--out %s is not empty and not an earlier demo's: choose another directory", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("emptying %s: %w", dir, err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making --out: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, marker), nil, 0o644)
}
