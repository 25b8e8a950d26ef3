package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// StoreSite is the site of the global policy store, which is in no cluster.
const StoreSite wan.Site = "store"

// ClusterConfig names a cluster and its place.
type ClusterConfig struct {
	Name   string
	Region string
	Zone   string
	// Prefix of the cluster's addresses, a /16.
	Prefix netip.Prefix
}

// Config describes a world of clusters.
type Config struct {
	Clusters []ClusterConfig
	// Dir takes data, logs and kubeconfigs. It must exist and be empty; the caller
	// removes it.
	Dir string
	// Bin is the directory of the built parts (see hack/build.sh). KUBEBUILDER_ASSETS
	// goes before it.
	Bin string
	// Matrix is the round trips between the sites.
	Matrix wan.Matrix
}

// DefaultConfig is the demo's three clusters in three regions.
func DefaultConfig() Config {
	return Config{
		Clusters: []ClusterConfig{
			{Name: "us-east", Region: "us-east", Zone: "us-east-1a", Prefix: netip.MustParsePrefix("10.10.0.0/16")},
			{Name: "us-west", Region: "us-west", Zone: "us-west-1a", Prefix: netip.MustParsePrefix("10.20.0.0/16")},
			{Name: "eu-west", Region: "eu-west", Zone: "eu-west-1a", Prefix: netip.MustParsePrefix("10.30.0.0/16")},
		},
		Matrix: wan.DefaultMatrix(),
	}
}

// storePrefix holds the addresses of the policy store's site.
func storePrefix() netip.Prefix { return netip.MustParsePrefix("10.40.0.0/16") }

// Validate joins everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if len(c.Clusters) == 0 {
		errs = append(errs, errors.New("no clusters"))
	}
	seen := map[string]bool{string(StoreSite): true}
	for _, cl := range c.Clusters {
		if cl.Name == "" || seen[cl.Name] {
			errs = append(errs, fmt.Errorf("cluster name %q is empty or taken", cl.Name))
		}
		seen[cl.Name] = true
		if !cl.Prefix.IsValid() || cl.Prefix.Bits() != 16 || !cl.Prefix.Addr().Is4() {
			errs = append(errs, fmt.Errorf("cluster %s: prefix %s is not an IPv4 /16", cl.Name, cl.Prefix))
		}
	}
	for name, dir := range map[string]string{"Dir": c.Dir, "Bin": c.Bin} {
		if !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("%s %q is not an absolute path", name, dir))
		}
	}
	return errors.Join(errs...)
}

// Deps are what a world is given.
type Deps struct {
	Host *Host // what Enter returned
	Log  *slog.Logger
	// OnlyPackets is wan.Deps' field of that name.
	OnlyPackets bool
}

// World is a set of clusters, the policy store's site, and the network between them.
type World struct {
	Dir      string
	WAN      *wan.WAN
	Clusters map[string]*Cluster
	Store    *Site
	// OnExit is called for every process that ends without having been asked to.
	// Set it before the first process starts; it must not block for long.
	OnExit func(*Process)

	cfg   Config
	host  *Host
	log   *slog.Logger
	sites []*Site
	// router is where the veth links end, when there is no TUN.
	router *netns.NS
	procs  processes
	meter  meter

	// What Reach has made; its caller's goroutine owns them until close.
	reached map[string]bool // what is listened on in every cluster
	hosts   []string        // lines of the hosts file
	relays  []net.Listener
}

// New makes the sites and the network; no process runs yet.
func New(cfg Config, deps Deps) (*World, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the test clusters: %w", err)
	}
	if deps.Host == nil {
		return nil, errors.New("testbed.Enter was not called first")
	}
	w := &World{Dir: cfg.Dir, cfg: cfg, host: deps.Host, log: deps.Log, Clusters: map[string]*Cluster{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "logs"), 0o755); err != nil {
		return nil, err
	}
	if err := w.build(deps.OnlyPackets); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *World) build(onlyPackets bool) error {
	network := wan.DefaultConfig()
	network.Matrix, network.Sites = w.cfg.Matrix, map[wan.Site]netip.Prefix{StoreSite: storePrefix()}
	for _, c := range w.cfg.Clusters {
		network.Sites[wan.Site(c.Name)] = c.Prefix
	}
	var err error
	if w.router, err = netns.New(); err != nil {
		return err
	}
	spaces := map[wan.Site]*netns.NS{}
	for name, prefix := range network.Sites {
		ns, err := netns.New()
		if err != nil {
			return fmt.Errorf("making site %s: %w", name, err)
		}
		s := &Site{Name: name, Prefix: prefix, ns: ns}
		w.sites, spaces[name] = append(w.sites, s), ns
		if name == StoreSite {
			w.Store = s
		}
	}
	if w.WAN, err = wan.New(network, wan.Deps{Sites: spaces, Router: w.router, OnlyPackets: onlyPackets}); err != nil {
		return fmt.Errorf("making the network: %w", err)
	}
	for _, c := range w.cfg.Clusters {
		w.Clusters[c.Name] = newCluster(w, c)
	}
	return nil
}

// Site finds a site by its name; nil when there is none.
func (w *World) Site(name string) *Site {
	for _, s := range w.sites {
		if string(s.Name) == name {
			return s
		}
	}
	return nil
}

// Run carries packets and measures memory until ctx ends; then it stops every process
// and lets the sites go.
func (w *World) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// The network outlives ctx: processes end more quickly while they can speak.
	network, cut := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return w.WAN.Run(network) })
	group.Go(func() error { return w.measure(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		w.procs.stopAll()
		cut()
		return nil
	})
	err := group.Wait()
	cut()
	w.close()
	return err
}

func (w *World) close() {
	for _, l := range w.relays {
		l.Close()
	}
	if w.WAN != nil {
		w.WAN.Close()
	}
	for _, s := range w.sites {
		s.ns.Close()
	}
	if w.router != nil {
		w.router.Close()
	}
}

// Start starts all clusters at the same time and returns when all are ready; the first
// error ends the others' waiting.
func (w *World) Start(ctx context.Context) error {
	if err := w.checkAssets(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range w.Clusters {
		group.Go(func() error {
			if err := c.Start(ctx); err != nil {
				return fmt.Errorf("starting cluster %s: %w", c.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return w.writeMergedKubeconfig()
}
