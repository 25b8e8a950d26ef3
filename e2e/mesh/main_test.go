package mesh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/e2e/testbed"
	"github.com/causeway-mesh/causeway/e2e/wan"
)

// host is what TestMain got from Enter; tests only read it.
var host *testbed.Host

func TestMain(m *testing.M) {
	var err error
	listen := map[string]string{"us-east": "127.0.0.1:0", "us-west": "127.0.0.1:0", "eu-west": "127.0.0.1:0"}
	if host, err = testbed.Enter(testbed.Outside{Listen: listen}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// scene is three clusters with Causeway and the shop, and a client in eu-west.
type scene struct {
	*mesh.Mesh
	world  *testbed.World
	bin    string
	client *mesh.Client
	wire   *wan.TLSCheck
}

// findBin finds the directory of what `make build` makes.
func findBin(t *testing.T) string {
	t.Helper()
	bin, err := testbed.FindBin()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"causeway-operator", "causeway-gateway", "causewayctl", "causeway-demo"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Fatalf("%v: run `make build` first", err)
		}
	}
	return bin
}

// newScene sets everything up; it takes about 15 s on two cores.
func newScene(t *testing.T) *scene {
	t.Helper()
	bin := findBin(t)
	cfg := testbed.DefaultConfig()
	cfg.Bin, cfg.Dir = bin, t.TempDir()
	world, err := testbed.New(cfg, testbed.Deps{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{world: world, bin: bin, wire: &wan.TLSCheck{}}
	world.WAN.Capture(s.wire.Packet)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- world.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running the world: %v", err)
		}
	})
	t.Cleanup(func() { s.tails(t) })
	bounded, stop := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(stop)
	s.setUp(t, ctx, bounded)
	return s
}

func (s *scene) setUp(t *testing.T, ctx, bounded context.Context) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.world.Start(bounded))
	var err error
	s.Mesh, err = mesh.New(s.world, s.bin)
	must(err)
	s.Step = func(format string, args ...any) { t.Logf(format, args...) }
	must(s.Install(ctx, bounded))
	for _, c := range s.world.Clusters {
		must(s.ApplySample(bounded, c, "shop.yaml"))
	}
	must(s.StartShop(bounded, "us-east", "us-west"))
	for _, name := range []string{"us-east", "us-west"} {
		must(s.ApplySample(bounded, s.world.Clusters[name], "serviceexport.yaml"))
	}
	must(s.ApplySample(bounded, s.world.Clusters["eu-west"], "routingpolicy.yaml"))
	s.client = mesh.NewClient(s.world.Clusters["eu-west"], "shop", "checkout")
	go s.client.Run(ctx)
	must(s.client.AwaitServedBy(bounded, "us-east", time.Minute))
}

// tails quotes the logs of Causeway's processes when a test has failed: their files go
// with it.
func (s *scene) tails(t *testing.T) {
	if !t.Failed() || s.Mesh == nil {
		return
	}
	for _, p := range s.Processes() {
		t.Logf("the end of %s's log:\n%s", p.Name, p.Tail())
	}
}
