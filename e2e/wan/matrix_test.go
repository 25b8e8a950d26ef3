package wan

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheRegionMatrixIsWhole(t *testing.T) {
	m := RegionMatrix()
	if want := len(regions) * (len(regions) - 1); len(m) != want {
		t.Errorf("%d directions, want %d", len(m), want)
	}
	for d, rtt := range m {
		back := m[Direction{d.To, d.From}]
		if rtt < 5*time.Millisecond || rtt > 400*time.Millisecond || (rtt-back).Abs() > 5*time.Millisecond {
			t.Errorf("%s: %s there, %s back", d, rtt, back)
		}
	}
}

func TestSitesTakeThePlacesOfRegions(t *testing.T) {
	got := RegionMatrix().Named(map[Site]Site{"a": "london", "b": "tokyo", "c": "nowhere"})
	want := Matrix{{"a", "b"}: 238 * time.Millisecond, {"b", "a"}: 238 * time.Millisecond}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigsThatCannotBeAreTold(t *testing.T) {
	good := func() Config {
		c := DefaultConfig()
		c.Sites = map[Site]netip.Prefix{"a": netip.MustParsePrefix("10.1.0.0/16"), "b": netip.MustParsePrefix("10.2.0.0/16")}
		return c
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"at least two":         func(c *Config) { delete(c.Sites, "a") },
		"is not IPv4":          func(c *Config) { c.Sites["a"] = netip.MustParsePrefix("fd00::/64") },
		"overlap":              func(c *Config) { c.Sites["a"] = netip.MustParsePrefix("10.2.3.0/24") },
		"not within 0 and 20s": func(c *Config) { c.Matrix = Matrix{{"a", "b"}: time.Minute} },
		"queue of":             func(c *Config) { c.QueueBytes = 0 },
		"mtu":                  func(c *Config) { c.MTU = 100 },
	} {
		c := good()
		if spoil(&c); c.Validate() == nil || !strings.Contains(c.Validate().Error(), want) {
			t.Errorf("want %q, got %v", want, c.Validate())
		}
	}
}
