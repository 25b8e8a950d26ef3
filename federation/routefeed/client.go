package routefeed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routing"
)

const (
	// maxTable bounds one message from an operator: 10,000 routes over 12 clusters
	// take about 4 MiB.
	maxTable = 64 << 20
	// reportEvery is how often a gateway reports when nothing changes.
	reportEvery = time.Second
	// resolveEvery is how often operator names are looked up again.
	resolveEvery = 5 * time.Second
	backoffMin   = 100 * time.Millisecond
	backoffMax   = 2 * time.Second
)

// ClientConfig says where the operators are.
type ClientConfig struct {
	// Operators are "host:port"; a host that is a name may stand for several
	// replicas (a headless Service), each of which gets a stream of its own.
	Operators []string
}

// Validate reports every fault at once.
func (c ClientConfig) Validate() error {
	var errs []error
	if len(c.Operators) == 0 {
		errs = append(errs, errors.New("no operator address: give at least one host:port"))
	}
	for _, a := range c.Operators {
		if _, _, err := net.SplitHostPort(a); err != nil {
			errs = append(errs, fmt.Errorf("operator address %q: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// ClientDeps is what a Client works with.
type ClientDeps struct {
	// TLS must verify that the server is an operator of this cluster.
	TLS *tls.Config
	// Report returns the gateway's evidence of this moment.
	Report func() routing.GatewayReport
	// Apply takes a complete table; the gateway decides whether it obeys it.
	Apply func(routing.Table)
	// OnUnknown counts messages of a kind that a later version may send; they are
	// skipped. May be nil.
	OnUnknown func()
	Log       *slog.Logger
}

// Client is a gateway's side of the feed: a stream to every operator replica.
type Client struct {
	cfg  ClientConfig
	deps ClientDeps

	mu   sync.Mutex
	wake chan struct{} // closed and replaced by Poke
}

// NewClient checks cfg; Run makes it work.
func NewClient(cfg ClientConfig, deps ClientDeps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, deps: deps, wake: make(chan struct{})}, nil
}

// Poke sends a report now instead of at the next tick.
func (c *Client) Poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.wake)
	c.wake = make(chan struct{})
}

func (c *Client) poked() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wake
}

// Run keeps a stream to every address that the operators' names resolve to,
// until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	running := map[string]context.CancelFunc{}
	ticker := time.NewTicker(resolveEvery)
	defer ticker.Stop()
	for {
		c.reconcile(ctx, &wg, running)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// reconcile starts a session per resolved address and ends those of addresses
// that are gone. A name that does not resolve now changes nothing.
func (c *Client) reconcile(ctx context.Context, wg *sync.WaitGroup, running map[string]context.CancelFunc) {
	want, complete := c.resolve(ctx)
	for addr := range want {
		if running[addr] != nil {
			continue
		}
		session, cancel := context.WithCancel(ctx)
		running[addr] = cancel
		wg.Go(func() { c.session(session, addr) })
	}
	for addr, cancel := range running {
		if complete && !want[addr] {
			cancel()
			delete(running, addr)
		}
	}
}

func (c *Client) resolve(ctx context.Context) (addrs map[string]bool, complete bool) {
	ctx, cancel := context.WithTimeout(ctx, resolveEvery)
	defer cancel()
	addrs, complete = map[string]bool{}, true
	for _, a := range c.cfg.Operators {
		host, port, _ := net.SplitHostPort(a)
		if net.ParseIP(host) != nil {
			addrs[a] = true
			continue
		}
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			complete = false
			c.deps.Log.Debug("looking up operators", "host", host, "error", err)
		}
		for _, ip := range ips {
			addrs[net.JoinHostPort(ip, port)] = true
		}
	}
	return addrs, complete
}

// session keeps one stream to addr open until ctx ends.
func (c *Client) session(ctx context.Context, addr string) {
	wait := backoffMin
	for ctx.Err() == nil {
		started := time.Now()
		err := c.stream(ctx, addr)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > backoffMax {
			wait = backoffMin
		}
		c.deps.Log.Debug("operator's feed has ended", "operator", addr, "error", err, "retry", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, backoffMax)
	}
}

func (c *Client) stream(ctx context.Context, addr string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(credentials.NewTLS(c.deps.TLS)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxTable)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
	)
	if err != nil {
		return fmt.Errorf("dialing operator %s: %w", addr, err)
	}
	defer func() { _ = conn.Close() }()
	feed, err := pb.NewRouteFeedClient(conn).Feed(ctx)
	if err != nil {
		return fmt.Errorf("opening the feed at %s: %w", addr, err)
	}
	resync := make(chan struct{}, 1)
	received := make(chan error, 1)
	go func() { received <- c.receive(feed, resync) }()
	err = c.report(ctx, feed, resync, received)
	cancel()
	return err
}

// report sends reports until the stream ends; it is the stream's only sender.
func (c *Client) report(ctx context.Context, feed pb.RouteFeed_FeedClient, resync <-chan struct{}, received chan error) error {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for again := false; ; {
		poked := c.poked()
		err := feed.Send(&pb.GatewayMessage{Report: reportToPB(c.deps.Report()), Resync: again})
		if err != nil {
			return errors.Join(err, <-received)
		}
		again = false
		select {
		case <-ticker.C:
		case <-poked:
		case <-resync:
			again = true
		case err := <-received:
			return err
		case <-ctx.Done():
			<-received
			return ctx.Err()
		}
	}
}

// receive applies tables until the stream ends.
func (c *Client) receive(feed pb.RouteFeed_FeedClient, resync chan<- struct{}) error {
	var held *routing.Table
	for {
		msg, err := feed.Recv()
		if err != nil {
			return err
		}
		if msg.GetBody() == nil { // the oneof has a member that we do not know
			if c.deps.OnUnknown != nil {
				c.deps.OnUnknown()
			}
			continue
		}
		next, err := c.next(held, msg)
		if err != nil {
			c.deps.Log.Warn("asking for a full table", "error", err)
			select {
			case resync <- struct{}{}:
			default:
			}
			continue
		}
		held = &next
		c.deps.Apply(next)
	}
}

func (c *Client) next(held *routing.Table, msg *pb.OperatorMessage) (routing.Table, error) {
	if full := msg.GetFull(); full != nil {
		return tableFromPB(full)
	}
	if held == nil {
		return routing.Table{}, errBase
	}
	delta := msg.GetDelta()
	if v := held.Version; versionFromPB(delta.GetBase()) == v && versionFromPB(delta.GetVersion()) == v {
		return *held, nil // the feeder lives and stands by its table
	}
	return apply(*held, delta)
}
