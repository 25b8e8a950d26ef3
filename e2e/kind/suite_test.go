//go:build e2ekind

package kind_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/kind"
	"github.com/causeway-mesh/causeway/e2e/load"
)

const (
	lost     = "us-east" // installed with Helm, first in the policy's order
	backup   = "us-west"
	consumer = "eu-west"

	root  = "../.."
	every = 20 * time.Millisecond
)

func clusters() []string { return []string{lost, backup, consumer} }

// The suite's only state: made by TestMain, read by the tests.
var (
	lab   *kind.Lab
	guide *kind.Guide
	out   string // figures, samples and artifacts
	bin   string
)

func TestMain(m *testing.M) { os.Exit(suite(m)) }

func suite(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	code := 1
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e-kind:", err)
	} else {
		code = m.Run()
	}
	if lab == nil {
		return code // nothing was begun
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	if code != 0 {
		lab.Collect(after, filepath.Join(out, "artifacts"))
		fmt.Fprintln(os.Stderr, "e2e-kind: logs, objects, events and tables of the failed run are in", filepath.Join(out, "artifacts"))
	}
	if env("E2E_KEEP") == "" {
		tearDown(after)
	}
	return code
}

// env is a variable that the Makefile sets.
func env(name string) string { return os.Getenv(name) }

func setUp(ctx context.Context) error {
	for _, name := range []string{"E2E_BIN", "E2E_OUT", "IMAGE_TAG"} {
		if env(name) == "" {
			return fmt.Errorf("%s is not set: run this with `make e2e-kind`", name)
		}
	}
	bin, out = env("E2E_BIN"), env("E2E_OUT")
	if err := kind.Prerequisites(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := kind.RemoveStore(ctx); err != nil { // an earlier run's
		return err
	}
	began := time.Now()
	step := func(what string) { fmt.Printf("[%5.1fs] %s\n", time.Since(began).Seconds(), what) }
	step("three kind clusters")
	var err error
	lab, err = kind.New(ctx, kind.Config{
		Clusters: clusters(), NodeImage: env("KIND_NODE_IMAGE"), KindConfig: env("KIND_CONFIG"),
		Dir: out, Reuse: env("E2E_REUSE") != "",
	})
	if err != nil {
		return err
	}
	step("images of Causeway and of the test pods")
	if err := loadImages(ctx); err != nil {
		return err
	}
	step("cert-manager, the prerequisite")
	if err := lab.InstallCertManager(ctx, bin); err != nil {
		return err
	}
	step("the clusters are up")
	return openGuide()
}

func loadImages(ctx context.Context) error {
	archives, err := kind.BuildTestImages(ctx, bin, out)
	if err != nil {
		return err
	}
	var ours []string
	for _, dir := range []string{filepath.Join(bin, "images"), filepath.Join(bin, "previous", "images")} {
		for _, name := range []string{"causeway-operator", "causeway-gateway"} {
			ours = append(ours, filepath.Join(dir, name+"-amd64.tar"))
		}
	}
	if err := kind.LoadIntoDocker(ctx, ours...); err != nil {
		return err
	}
	return lab.Load(ctx, append(archives, ours...)...)
}

func openGuide() (err error) {
	if guide, err = kind.OpenGuide(root, "docs/install.md"); err != nil {
		return err
	}
	guide.Log = filepath.Join(out, "install.log")
	guide.Env = []string{
		"KUBECONFIG=" + lab.Kubeconfig, "STORE_HOST=" + kind.StoreContainer, "STORE_DOCKER_ARGS=--network kind",
		"EXPOSE=NodePort", "OVERLAY=overlays/nodeport", "IMAGE_TAG=" + env("IMAGE_TAG"),
	}
	return errors.Join(os.RemoveAll(filepath.Join(root, "certs")), os.RemoveAll(filepath.Join(root, "store")))
}

func tearDown(ctx context.Context) {
	if err := kind.RemoveStore(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e-kind:", err)
	}
	if err := lab.Delete(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e-kind:", err)
	}
}

// section runs a section of docs/install.md as it stands.
func section(t *testing.T, name string) {
	t.Helper()
	if err := guide.Run(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// figure prints a line `name value unit` and keeps it.
func figure(t *testing.T, name string, value float64, unit string) {
	t.Helper()
	line := fmt.Sprintf("%s %.1f %s\n", name, value, unit)
	fmt.Print(line)
	f, err := os.OpenFile(filepath.Join(out, "figures.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}

func kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	text, err := lab.Kubectl(t.Context(), cluster, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// within bounds a wait.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// underLoad drives shop/checkout from a pod in the consumer's cluster while f
// disturbs the world, keeps the samples, and fails on any failed request.
func underLoad(t *testing.T, name string, f func(l *kind.Load)) []load.Result {
	t.Helper()
	url, err := lab.Derived(t.Context(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := lab.StartLoad(within(t, time.Minute), consumer, name, url, every)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = driver.Stop(context.WithoutCancel(t.Context())) }()
	if err := driver.AwaitServedBy(within(t, time.Minute), lost, 50); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	f(driver)
	results, err := driver.Results(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	keep(t, name, results)
	disturbed := load.Between(results, begin, time.Now())
	if len(disturbed) == 0 {
		t.Fatal("no request was made meanwhile: the run is invalid")
	}
	if n := load.Failed(disturbed); n > 0 {
		t.Errorf("%d of %d requests failed, first: %v", n, len(disturbed), firstError(disturbed))
	}
	figure(t, name+"_requests", float64(len(disturbed)), "count")
	figure(t, name+"_failed_requests", float64(load.Failed(disturbed)), "count")
	return disturbed
}

func firstError(results []load.Result) string {
	for _, r := range results {
		if r.Err != nil {
			return fmt.Sprintf("at %s after %s: %v", r.Scheduled.Format(time.StampMilli), r.Latency, r.Err)
		}
	}
	return ""
}

func keep(t *testing.T, name string, results []load.Result) {
	t.Helper()
	f, err := os.Create(filepath.Join(out, name+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(results) > 0 {
		if err := load.WriteCSV(f, results[0].Scheduled, results); err != nil {
			t.Fatal(err)
		}
	}
}
