package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log/slog"
	"net"
	"testing"

	"github.com/causeway-mesh/causeway/e2e/observe/page"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

var write = flag.Bool("write", false, "write the table of metrics into docs/observability.md")

func TestPageOfMetricsIsTheOperatorsRegistry(t *testing.T) {
	op := newOperator(defaultOptions(), slog.New(slog.DiscardHandler), nil)
	storeConfig := policystore.DefaultConfig()
	storeConfig.Federation, storeConfig.Cluster, storeConfig.Endpoints = "prod", "us-east", []string{"https://127.0.0.1:2379"}
	storeConfig.Unsealed = true
	if _, err := policystore.New(storeConfig, policystore.Deps{Metrics: op.metrics}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gossipConfig := gossip.DefaultConfig()
	gossipConfig.Federation, gossipConfig.Cluster, gossipConfig.Epoch = "prod", "us-east", 1
	_, err = gossip.New(gossipConfig, gossip.Deps{
		Listener: l, ServerTLS: &tls.Config{}, ClientTLS: func(federation.ClusterName) *tls.Config { return nil },
		Dial:        func(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed },
		PeerCluster: func(tls.ConnectionState) (federation.ClusterName, error) { return "", nil },
		Certificate: func() (*tls.Certificate, error) { return nil, net.ErrClosed },
		VerifyChain: func([]*x509.Certificate) (federation.ClusterName, error) { return "", nil },
		Log:         slog.New(slog.DiscardHandler), Metrics: op.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	page.Check(t, op.metrics, "causeway-operator", *write)
}
