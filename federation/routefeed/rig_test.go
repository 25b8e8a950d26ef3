package routefeed

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
)

var discard = slog.New(slog.DiscardHandler)

func ownID(r identity.Role) identity.ID {
	return identity.ID{TrustDomain: "d", Federation: "prod", Cluster: "us-east", Role: r}
}

// serve runs a server until the test ends, and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l.Addr().String()
}

// serveLater runs a client of deps against a feeder that is not ours.
func serveLater(t *testing.T, feeder pb.RouteFeedServer, deps ClientDeps) {
	t.Helper()
	ca := identitytest.NewCA(t, "d")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(
		ca.Source(ownID(identity.RoleOperator)).ServerConfig(identity.Exactly(ownID(identity.RoleGateway))))))
	pb.RegisterRouteFeedServer(server, feeder)
	deps.TLS, deps.Log = ca.Source(ownID(identity.RoleGateway)).ClientConfig(identity.Exactly(ownID(identity.RoleOperator)), ""), discard
	client, err := NewClient(ClientConfig{Operators: []string{l.Addr().String()}}, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	wg.Go(func() { _ = client.Run(ctx) })
	t.Cleanup(func() { cancel(); server.Stop(); wg.Wait() })
}
