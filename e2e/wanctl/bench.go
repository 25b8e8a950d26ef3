package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/e2e/testbed"
	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

func benchCommand() *cobra.Command {
	b := bench{}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure what the emulator carries on this machine, in namespaces of its own", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := testbed.Enter(testbed.Outside{}); err != nil {
				return err
			}
			return b.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&b.each, "each", 3*time.Second, "length of each measurement")
	cmd.Flags().IntVar(&b.flows, "flows", 4, "TCP connections at the same time")
	cmd.Flags().BoolVar(&b.packets, "veth", false, "with packet sockets where TUN would be used")
	return cmd
}

// bench sends TCP from east to west, one millisecond each way, and counts what arrives.
type bench struct {
	each    time.Duration
	flows   int
	packets bool
	east    *netns.NS
	west    *netns.NS
	net     *wan.WAN
}

// warmUp is not counted: slow start, and buffers that the pools do not hold yet.
const warmUp = 500 * time.Millisecond

func (b *bench) run(ctx context.Context, out io.Writer) error {
	if err := b.build(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return b.net.Run(inner) })
	group.Go(func() error {
		defer cancel()
		return b.measure(inner, out)
	})
	return group.Wait()
}

func (b *bench) build() (err error) {
	var router *netns.NS
	for _, ns := range []**netns.NS{&b.east, &b.west, &router} {
		if *ns, err = netns.New(); err != nil {
			return err
		}
	}
	cfg := wan.DefaultConfig()
	cfg.Sites = map[wan.Site]netip.Prefix{"east": netip.MustParsePrefix("10.1.0.0/16"), "west": netip.MustParsePrefix("10.2.0.0/16")}
	cfg.Matrix = wan.Matrix{{From: "east", To: "west"}: 2 * time.Millisecond}
	b.net, err = wan.New(cfg, wan.Deps{Sites: map[wan.Site]*netns.NS{"east": b.east, "west": b.west}, Router: router, OnlyPackets: b.packets})
	return err
}

func (b *bench) measure(ctx context.Context, out io.Writer) error {
	control, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	fmt.Fprintf(out, "# %s, %d TCP connections, 1 ms each way, %s, %s each\n", b.net.Kind(), b.flows, strings.TrimSpace(string(control)), b.each)
	late, err := b.lateness(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "wan_round_trip_excess_us %d us\n", late.Microseconds())
	worst := 0.0
	for _, c := range []struct{ name, change string }{
		{"clean", "up"}, {"loss", "loss 1%"}, {"reorder", "reorder 1% by 1ms"},
	} {
		change, err := script.ParseChange("east>west clear " + c.change)
		if err != nil {
			return err
		}
		if err := b.net.Apply(change); err != nil {
			return err
		}
		rate, err := b.throughput(ctx)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", c.name, err)
		}
		fmt.Fprintf(out, "wan_%s_mbit_s %.0f Mbit/s\n", c.name, rate)
		if c.name != "clean" && (worst == 0 || rate < worst) {
			worst = rate
		}
	}
	fmt.Fprintf(out, "wan_impaired_mbit_s %.0f Mbit/s\n", worst)
	return nil
}

// open makes a connection from west to east.
func (b *bench) open(ctx context.Context) (client, server net.Conn, err error) {
	var l net.Listener
	if err := b.east.Do(func() (err error) { l, err = net.Listen("tcp", "10.1.0.1:0"); return err }); err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var d net.Dialer
	if err := b.west.Do(func() (err error) { client, err = d.DialContext(ctx, "tcp", l.Addr().String()); return err }); err != nil {
		return nil, nil, err
	}
	server, err = l.Accept()
	return client, server, err
}

// throughput is what all connections together carry, in Mbit/s.
func (b *bench) throughput(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, warmUp+b.each)
	defer cancel()
	var bytes atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range b.flows {
		client, server, err := b.open(ctx)
		if err != nil {
			return 0, err
		}
		context.AfterFunc(ctx, func() { client.Close(); server.Close() })
		group.Go(func() error { return carried(io.Copy(server, zeros{})) })
		group.Go(func() error { return carried(io.Copy(counter{&bytes}, client)) })
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(warmUp):
	}
	before, began := bytes.Load(), time.Now()
	<-ctx.Done()
	got, took := bytes.Load()-before, time.Since(began)
	return float64(got) * 8 / took.Seconds() / 1e6, group.Wait()
}

// carried forgives the end that the measurement makes.
func carried(_ int64, err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return nil // the other end was closed first
	}
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) { c.n.Add(int64(len(b))); return len(b), nil }

// lateness is by how much the median round trip is longer than the emulated one.
func (b *bench) lateness(ctx context.Context) (time.Duration, error) {
	client, server, err := b.open(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	defer server.Close()
	go func() { _, _ = io.Copy(server, server) }()
	var took []time.Duration
	for range 201 {
		began := time.Now()
		if _, err := client.Write([]byte{1}); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2] - 2*time.Millisecond, nil
}
