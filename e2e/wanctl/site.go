package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

// network is what the flags of `run` say.
type network struct {
	sites   []string // NAME=PREFIX or NAME=PREFIX,REGION
	rtts    []string // A,B=TIME
	script  string
	seed    uint64
	mtu     int
	routed  wan.Routed
	allowed bool // sites may have no round trip
}

// config puts the flags together.
func (n network) config() (wan.Config, error) {
	cfg := wan.DefaultConfig()
	cfg.Sites, cfg.Seed, cfg.MTU = map[wan.Site]netip.Prefix{}, n.seed, n.mtu
	places := map[wan.Site]wan.Site{}
	for _, s := range n.sites {
		name, prefix, place, err := parseSite(s)
		if err != nil {
			return cfg, err
		}
		if _, taken := cfg.Sites[name]; taken {
			return cfg, fmt.Errorf("--site %s: the name is taken", s)
		}
		cfg.Sites[name], places[name] = prefix, place
	}
	matrix := wan.RegionMatrix()
	for d, rtt := range wan.DefaultMatrix() {
		matrix[d] = rtt
	}
	cfg.Matrix = matrix.Named(places)
	for _, r := range n.rtts {
		if err := addRoundTrip(cfg, r); err != nil {
			return cfg, err
		}
	}
	return cfg, n.complete(cfg)
}

// complete says which pairs nobody gave a round trip: a forgotten one would be a
// network without distance.
func (n network) complete(cfg wan.Config) error {
	for a := range cfg.Sites {
		for b := range cfg.Sites {
			if a < b && cfg.Matrix.RoundTrip(a, b) == 0 && !n.allowed {
				return fmt.Errorf("no round trip between %s and %s: give --rtt %s,%s=TIME, or regions to both (see `causeway-wan regions`), or --no-distance", a, b, a, b)
			}
		}
	}
	return cfg.Validate()
}

// parseSite reads NAME=PREFIX[,REGION]; the region is the name where it is not given.
func parseSite(s string) (name wan.Site, prefix netip.Prefix, place wan.Site, err error) {
	left, right, ok := strings.Cut(s, "=")
	net, region, given := strings.Cut(right, ",")
	if !given {
		region = left
	}
	if prefix, err = netip.ParsePrefix(net); !ok || err != nil || !script.ValidSite(left) {
		return "", prefix, "", fmt.Errorf("--site %s: want NAME=PREFIX or NAME=PREFIX,REGION, such as us-east=172.20.0.0/16,washington", s)
	}
	return wan.Site(left), prefix.Masked(), wan.Site(region), nil
}

func addRoundTrip(cfg wan.Config, r string) error {
	pair, value, ok := strings.Cut(r, "=")
	a, b, both := strings.Cut(pair, ",")
	rtt, err := time.ParseDuration(value)
	if !ok || !both || err != nil {
		return fmt.Errorf("--rtt %s: want A,B=TIME, such as us-east,eu-west=64ms", r)
	}
	for _, s := range []string{a, b} {
		if _, known := cfg.Sites[wan.Site(s)]; !known {
			return fmt.Errorf("--rtt %s: no --site %s", r, s)
		}
	}
	cfg.Matrix[wan.Direction{From: wan.Site(a), To: wan.Site(b)}] = rtt
	cfg.Matrix[wan.Direction{From: wan.Site(b), To: wan.Site(a)}] = rtt
	return nil
}
