package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTakenPortSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := good(t)
	o.listen = l.Addr().String()
	err = run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "taken by another process") {
		t.Fatalf("got %v", err)
	}
}

func good(t *testing.T) *options {
	t.Helper()
	o := defaultOptions()
	o.instance, o.cluster, o.federation, o.advertise, o.local = "gw-1", "us-east", "prod", "127.0.0.1:15443", "127.0.0.1"
	o.listen, o.adminAddress, o.identityDir, o.operators = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), []string{"127.0.0.1:15010"}
	return o
}

func TestBadFlagsAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		want   string
		change func(*options)
	}{
		"local address":         {"--local-address", func(o *options) { o.local = "nonsense" }},
		"nothing to advertise":  {"--advertise", func(o *options) { o.local, o.advertise = "::", "" }},
		"listen":                {"--listen", func(o *options) { o.listen = "nonsense" }},
		"identity directory":    {"--identity-dir", func(o *options) { o.identityDir = file }},
		"advertise":             {"advertised", func(o *options) { o.advertise = "nonsense" }},
		"advertise port":        {"advertised", func(o *options) { o.advertise = "gateway.example.org:http" }},
		"advertise no host":     {"advertised", func(o *options) { o.advertise = ":15443" }},
		"advertise unspecified": {"advertised", func(o *options) { o.advertise = "[::]:15443" }},
		"advertise bare IPv6":   {"advertised", func(o *options) { o.advertise = "2001:db8::1:15443" }},
		"shutdown delay":        {"shutdown delay", func(o *options) { o.delay = -1 }},
		"long cluster name":     {"cluster", func(o *options) { o.cluster = strings.Repeat("x", 64) }},
	} {
		o := good(t)
		c.change(o)
		if _, err := o.config(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q is not named: %v", name, c.want, err)
		}
	}
}

func TestGoodFlags(t *testing.T) {
	for name, change := range map[string]func(*options){
		"all":                            func(*options) {},
		"names are the certificate's":    func(o *options) { o.cluster, o.federation = "", "" },
		"address is the listener's":      func(o *options) { o.advertise = "" },
		"a host name is advertised":      func(o *options) { o.advertise = "gw.us-east.example.org:443" },
		"an IPv6 address is advertised":  func(o *options) { o.advertise = "[2001:db8::1]:15443" },
		"any IPv6 address is the local":  func(o *options) { o.local = "2001:db8::1" },
		"any address, another advertise": func(o *options) { o.local = "0.0.0.0" },
	} {
		o := good(t)
		change(o)
		if _, err := o.config(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdvertisedByDefault(t *testing.T) {
	for want, local := range map[string]string{"10.0.0.7:15443": "10.0.0.7", "[2001:db8::7]:15443": "2001:db8::7"} {
		if got := reachable(netip.MustParseAddr(local), &net.TCPAddr{IP: net.IPv6unspecified, Port: 15443}); got != want {
			t.Errorf("%s advertises %s, want %s", local, got, want)
		}
	}
}
