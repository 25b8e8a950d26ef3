package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/e2e/wan"
)

const ms = time.Millisecond

func TestFlagsBecomeANetwork(t *testing.T) {
	n := network{mtu: 1500, seed: 7, sites: []string{"us-east=172.20.0.9/16,washington", "eu-west=172.21.0.0/16,london", "lab=172.22.0.0/16"},
		rtts: []string{"lab,us-east=5ms", "eu-west,lab=80ms"}}
	cfg, err := n.config()
	if err != nil {
		t.Fatal(err)
	}
	want := wan.Matrix{
		{From: "us-east", To: "eu-west"}: 75 * ms, {From: "eu-west", To: "us-east"}: 76 * ms,
		{From: "lab", To: "us-east"}: 5 * ms, {From: "us-east", To: "lab"}: 5 * ms,
		{From: "eu-west", To: "lab"}: 80 * ms, {From: "lab", To: "eu-west"}: 80 * ms,
	}
	if diff := cmp.Diff(want, cfg.Matrix); diff != "" {
		t.Error(diff)
	}
	if cfg.Seed != 7 || cfg.Sites["us-east"] != netip.MustParsePrefix("172.20.0.0/16") {
		t.Errorf("%+v", cfg)
	}
}

func TestNamesOfTheDemoNeedNoRegion(t *testing.T) {
	n := network{mtu: 1500, sites: []string{"us-east=172.20.0.0/16", "eu-west=172.21.0.0/16"}}
	cfg, err := n.config()
	if err != nil || cfg.Matrix.RoundTrip("us-east", "eu-west") != 64*ms {
		t.Errorf("%+v %v", cfg.Matrix, err)
	}
}

func TestFlagsThatCannotBeAreTold(t *testing.T) {
	two := []string{"a=10.1.0.0/16", "b=10.2.0.0/16"}
	for want, n := range map[string]network{
		"want NAME=PREFIX":                   {sites: []string{"a"}},
		"--site A=10.1.0.0/16":               {sites: []string{"A=10.1.0.0/16"}},
		"--site a=10.1.0.0: want":            {sites: []string{"a=10.1.0.0"}},
		"the name is taken":                  {sites: []string{two[0], two[0]}},
		"no round trip between a and b":      {sites: two},
		"want A,B=TIME":                      {sites: two, rtts: []string{"a=5ms"}},
		"--rtt a,b=5: want":                  {sites: two, rtts: []string{"a,b=5"}},
		"no --site c":                        {sites: two, rtts: []string{"a,c=5ms"}},
		"prefixes 10.1.0.0/16 and 10.1.2.0/": {sites: []string{two[0], "b=10.1.2.0/24"}, allowed: true},
	} {
		n.mtu = 1500
		if _, err := n.config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
