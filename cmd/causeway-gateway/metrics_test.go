package main

import (
	"flag"
	"log/slog"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/e2e/observe/page"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway"
)

var write = flag.Bool("write", false, "write the table of metrics into docs/observability.md")

func TestPageOfMetricsIsTheGatewaysRegistry(t *testing.T) {
	cfg, err := good(t).config()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reg := prometheus.NewRegistry()
	if _, err := gateway.New(cfg, gateway.Deps{Identity: identity.NewSource(), Listener: l, Log: slog.New(slog.DiscardHandler), Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	page.Check(t, reg, "causeway-gateway", *write)
}
