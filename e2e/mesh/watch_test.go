package mesh_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/causeway-mesh/causeway/config"
	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/e2e/observe"
	"github.com/causeway-mesh/causeway/e2e/testbed"
)

const (
	prometheusAddr = "127.0.0.1:9090" // inside the observer's site
	proxyAddr      = "127.0.0.1:9091"
	// scrapeEvery is also the step of ranges and the rules' period. A rate looks at some
	// scrapes, as Grafana's $__rate_interval does.
	scrapeEvery  = time.Second
	rateInterval = "5s"
	// dataLimit bounds how long a healthy federation may take to have answers for all.
	dataLimit = 20 * time.Second
)

// watch is a Prometheus beside the federation, from began on.
type watch struct {
	*observe.API
	began time.Time
	// stop ends Prometheus; a second call does nothing.
	stop func()
}

// newWatch starts Prometheus in eu-west's site. It scrapes all three clusters there, through
// a proxy of this program that dials each target in the site that has its address: plain
// HTTP never crosses between clusters.
func (s *scene) newWatch(t *testing.T) *watch {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is not on PATH: apt-get install prometheus, or run `make prometheus`")
	}
	site := s.world.Clusters["eu-west"].Site
	s.scrapeProxy(t, site)
	dir := t.TempDir()
	process, err := s.world.StartProcess(site, testbed.Command{
		Name: "prometheus", Path: path, Env: []string{"GOMAXPROCS=1"},
		Args: []string{
			"--config.file", s.scrapeConfig(t, dir), "--storage.tsdb.path", filepath.Join(dir, "data"),
			"--web.listen-address", prometheusAddr, "--log.level", "warn",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Stop) // it holds files below dir
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: site.Dial}}
	t.Cleanup(client.CloseIdleConnections)
	w := &watch{&observe.API{Base: "http://" + prometheusAddr, HTTP: client}, time.Now(), process.Stop}
	eventually(t, dataLimit, func() string {
		if !process.Running() {
			t.Fatal(process.Err())
		}
		targets, err := w.Targets(t.Context())
		return s.unscraped(targets, err)
	})
	return w
}

// unscraped says what is missing of every operator and gateway being scraped.
func (s *scene) unscraped(targets []observe.ScrapedTarget, err error) string {
	if err != nil {
		return err.Error()
	}
	for _, target := range targets {
		if target.Health != "up" {
			return fmt.Sprintf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
		}
	}
	if want := len(s.world.Clusters) * 2 * mesh.Replicas; len(targets) != want {
		return fmt.Sprintf("%d targets are scraped, want the %d operators and gateways", len(targets), want)
	}
	return ""
}

// scrapeProxy is an HTTP proxy at the site that dials from inside the cluster it dials to.
func (s *scene) scrapeProxy(t *testing.T, at *testbed.Site) {
	l, err := at.Listen("tcp", proxyAddr)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		target, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		for _, c := range s.world.Clusters {
			if c.Site.Prefix.Contains(target.Addr()) {
				return c.Site.Dial(ctx, network, addr)
			}
		}
		return nil, fmt.Errorf("%s is in no cluster", addr)
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 2}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}}
	done := make(chan struct{}) // closed once Serve has returned
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done; transport.CloseIdleConnections() })
}

// scrapeConfig writes the sample configuration with the real pods as the API servers tell
// them, and the shipped rules.
func (s *scene) scrapeConfig(t *testing.T, dir string) string {
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := observe.Place{
		Rules: write("rules.yaml", shipped(t, "prometheus/causeway-rules.yaml")), Proxy: "http://" + proxyAddr, Interval: scrapeEvery.String(),
	}
	for name, c := range s.world.Clusters {
		pods, err := c.Client().CoreV1().Pods(mesh.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		targets, err := observe.Targets(pods.Items)
		if err != nil {
			t.Fatal(err)
		}
		at.Clusters = append(at.Clusters, observe.Cluster{Name: name, Targets: write(name+".json", targets)})
	}
	conf, err := observe.Configure(shipped(t, "prometheus/causeway.yaml"), at)
	if err != nil {
		t.Fatal(err)
	}
	return write("prometheus.yaml", conf)
}

func shipped(t *testing.T, name string) []byte {
	t.Helper()
	data, err := config.Observability.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
