package wan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDockersRulesAreStoodAsideFor(t *testing.T) {
	var got []string
	for _, rule := range exemptions("wan0", map[Site]netip.Prefix{"a": netip.MustParsePrefix("10.1.0.0/16"), "b": netip.MustParsePrefix("10.2.0.0/16")}) {
		got = append(got, strings.Join(rule, " "))
	}
	slices.Sort(got)
	want := []string{
		"DOCKER-USER -i wan0 -j ACCEPT",
		"POSTROUTING -t nat -s 10.1.0.0/16 -d 10.2.0.0/16 -j ACCEPT",
		"POSTROUTING -t nat -s 10.2.0.0/16 -d 10.1.0.0/16 -j ACCEPT",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
