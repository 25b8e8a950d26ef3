//go:build e2ekind

package kind_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/e2e/kind"
	"github.com/causeway-mesh/causeway/e2e/load"
)

// TestCauseway is one story on three kind clusters; its chapters build on each other.
func TestCauseway(t *testing.T) {
	chapters := []struct {
		name string
		play func(*testing.T)
	}{
		{"DockerBuildGivesTheSameImages", dockerBuild},
		{"InstallAsTheGuideSays", install},
		{"PodsReachTheFirstRegionByDNSName", firstRequest},
		{"IdleFootprint", footprint},
		{"RequestsSurviveThePauseOfARegion", loseRegion},
		{"RequestsSurviveOperatorRollouts", rolloutOperators},
		{"RequestsSurviveGatewayRollouts", rolloutGateways},
		{"RequestsSurviveAnAPIServerRestart", restartAPIServer},
		{"RequestsSurviveADowngradeAndAnUpgrade", skew},
		{"AnUnknownIssuerIsSaidAndChangesNothing", unknownIssuer},
		{"AClusterLeavesAndComesBack", reinstall},
		{"UninstallLeavesNothingBehind", uninstall},
	}
	for _, chapter := range chapters {
		if !t.Run(chapter.name, chapter.play) {
			return
		}
	}
}

// dockerBuild holds the two ways to an image against each other: `docker build`, and
// the archive that is made without Docker.
func dockerBuild(t *testing.T) {
	for _, name := range []string{"causeway-operator", "causeway-gateway"} {
		archive := filepath.Join(bin, "images", name+"-amd64.tar")
		size, err := os.Stat(archive)
		if err != nil {
			t.Fatal(err)
		}
		figure(t, "image_compressed_mib_"+name, float64(size.Size())/(1<<20), "MiB")
		ours, err := kind.InspectImage(t.Context(), "causeway/"+name+":"+env("IMAGE_TAG"))
		if err != nil {
			t.Fatal(err)
		}
		built, err := kind.BuildImage(t.Context(), filepath.Join(root, "config", "images", "Dockerfile"), name, filepath.Join(bin, "dist"), ours)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ours, built); diff != "" {
			t.Errorf("%s: the archive (-) and docker build (+) differ: %s", name, diff)
		}
	}
}

func install(t *testing.T) {
	section(t, "Certificates")
	section(t, "The policy store")
	section(t, "Install with Helm")
	section(t, "Install with kustomize")
	for _, cluster := range clusters() {
		figure(t, "install_to_ready_s_"+cluster, installTime(t, cluster).Seconds(), "s")
	}
	section(t, "Look")
}

// installTime is from the creation of the operators' Deployment to the first event
// that says Ready of the MeshFederation, as the API server's clock has them.
func installTime(t *testing.T, cluster string) time.Duration {
	t.Helper()
	began := kubectl(t, cluster, "-n", "causeway-system", "get", "deployment", "causeway-operator", "-o", "jsonpath={.metadata.creationTimestamp}")
	ready, _, _ := strings.Cut(kubectl(t, cluster, "get", "events", "-A", "--field-selector", "involvedObject.kind=MeshFederation,reason=Ready",
		"--sort-by=.metadata.creationTimestamp", "-o", `jsonpath={range .items[*]}{.metadata.creationTimestamp}{"\n"}{end}`), "\n")
	from, err := time.Parse(time.RFC3339, began)
	if err != nil {
		t.Fatal(err)
	}
	to, err := time.Parse(time.RFC3339, ready)
	if err != nil {
		t.Fatal(err)
	}
	return to.Sub(from)
}

func firstRequest(t *testing.T) {
	section(t, "Export a service")
	for _, cluster := range []string{lost, backup} {
		if err := lab.StartCheckout(within(t, 2*time.Minute), cluster); err != nil {
			t.Fatal(err)
		}
	}
	url, err := lab.Derived(t.Context(), consumer)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = kind.Await(within(t, time.Minute), "curl "+url, func(ctx context.Context) error {
		n++
		answer, err := lab.Curl(ctx, consumer, fmt.Sprintf("curl-%d", n), "--silent", "--show-error", "--fail", "--max-time", "5", url)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(answer, lost+"/checkout-") {
			return fmt.Errorf("answered by %q", answer)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func footprint(t *testing.T) {
	for _, cluster := range clusters() {
		f, err := lab.Measure(t.Context(), cluster, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if f.Processes != 4 {
			t.Errorf("%s: %d processes of ours, want two operators and two gateways", cluster, f.Processes)
		}
		figure(t, "idle_pss_mib_"+cluster, f.PSSMiB, "MiB")
		figure(t, "idle_core_percent_"+cluster, f.CorePercent, "%")
	}
}

func loseRegion(t *testing.T) {
	var paused, healed time.Time
	results := underLoad(t, "region-loss", func(l *kind.Load) {
		paused = time.Now()
		if err := kind.Pause(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		err := l.AwaitServedBy(within(t, 30*time.Second), backup, 250)
		healed = time.Now()
		if resume := kind.Unpause(context.WithoutCancel(t.Context()), lost); resume != nil {
			t.Fatal(resume)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := l.AwaitServedBy(within(t, 90*time.Second), lost, 100); err != nil {
			t.Fatal(err)
		}
	})
	before := load.Quantile(load.Between(results, paused.Add(2*time.Second), healed), 0.99)
	recovery, ok := load.Recovery(load.Between(results, paused, healed), paused, 50, max(2*before, 400*time.Millisecond))
	if !ok {
		t.Fatal("no 50 requests in a row succeeded in time after the region was paused")
	}
	figure(t, "kind_failover_ms", float64(recovery.Milliseconds()), "ms")
}

func rolloutOperators(t *testing.T) {
	underLoad(t, "operator-rollout", func(*kind.Load) {
		for _, cluster := range clusters() {
			rollout(t, cluster, "deployment/causeway-operator")
		}
	})
}

func rolloutGateways(t *testing.T) {
	underLoad(t, "gateway-rollout", func(*kind.Load) {
		for _, cluster := range clusters() {
			rollout(t, cluster, "statefulset/causeway-gateway")
		}
	})
}

func rollout(t *testing.T, cluster, what string) {
	t.Helper()
	kubectl(t, cluster, "-n", "causeway-system", "rollout", "restart", what)
	ctx := within(t, 3*time.Minute)
	if _, err := lab.Rollout(ctx, cluster, what); err != nil {
		t.Fatal(err)
	}
}

func restartAPIServer(t *testing.T) {
	underLoad(t, "apiserver-restart", func(l *kind.Load) {
		for _, cluster := range clusters() {
			if _, err := lab.Exec(t.Context(), cluster, "pkill", "-9", "kube-apiserver"); err != nil {
				t.Fatal(err)
			}
			err := kind.Await(within(t, 2*time.Minute), "the API server of "+cluster, func(ctx context.Context) error {
				_, err := lab.Kubectl(ctx, cluster, "get", "--raw", "/readyz")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.AwaitServedBy(within(t, time.Minute), lost, 100); err != nil {
			t.Fatal(err)
		}
	})
	for _, cluster := range clusters() {
		awaitReady(t, cluster)
	}
}

// previous is the tag of the images that hack/previous.sh builds.
const previous = "previous"

// skew rolls to the previous version and back, one cluster at a time, operators
// before gateways: every mixture of the two on the way carries traffic.
func skew(t *testing.T) {
	for _, version := range []string{previous, env("IMAGE_TAG")} {
		underLoad(t, "rolling-to-"+map[bool]string{true: "previous", false: "new"}[version == previous], func(*kind.Load) {
			for _, cluster := range clusters() {
				setImage(t, cluster, "deployment", "causeway-operator", version)
				setImage(t, cluster, "statefulset", "causeway-gateway", version)
			}
		})
	}
	for _, cluster := range clusters() {
		awaitReady(t, cluster)
	}
}

func setImage(t *testing.T, cluster, kind, name, version string) {
	t.Helper()
	container := strings.TrimPrefix(name, "causeway-")
	kubectl(t, cluster, "-n", "causeway-system", "set", "image", kind+"/"+name, container+"=causeway/"+name+":"+version)
	if _, err := lab.Rollout(within(t, 3*time.Minute), cluster, kind+"/"+name); err != nil {
		t.Fatal(err)
	}
}

func awaitReady(t *testing.T, cluster string) {
	t.Helper()
	kubectl(t, cluster, "wait", "meshfederation/demo", "--for=condition=Ready", "--timeout=20s")
}

func unknownIssuer(t *testing.T) {
	underLoad(t, "unknown-issuer", func(*kind.Load) {
		if err := lab.Helm(t.Context(), lost, "upgrade", "causeway", root+"/config/chart", "--namespace", "causeway-system",
			"--reuse-values", "--set", "issuerRef.name=nowhere"); err != nil {
			t.Fatal(err)
		}
		err := kind.Await(within(t, 30*time.Second), "IssuerNotFound", func(ctx context.Context) error {
			text, err := lab.Kubectl(ctx, lost, "get", "meshfederation", "demo", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason} {.status.conditions[?(@.type=="Ready")].message}`)
			if err != nil || !strings.HasPrefix(text, "IssuerNotFound") || !strings.Contains(text, "nowhere") {
				return fmt.Errorf("%q, %w", text, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := lab.Helm(t.Context(), lost, "rollback", "causeway", "--namespace", "causeway-system"); err != nil {
			t.Fatal(err)
		}
		awaitReady(t, lost)
	})
}

func reinstall(t *testing.T) {
	if err := lab.Helm(t.Context(), lost, "uninstall", "causeway", "--namespace", "causeway-system", "--wait"); err != nil {
		t.Fatal(err)
	}
	nothingDerived(t, lost)
	section(t, "Install with Helm")
	underLoad(t, "reinstall", func(l *kind.Load) {
		if err := l.AwaitServedBy(within(t, time.Minute), lost, 250); err != nil {
			t.Error(err)
		}
	})
}

func uninstall(t *testing.T) {
	began := time.Now()
	section(t, "Uninstall")
	figure(t, "uninstall_three_clusters_s", time.Since(began).Seconds(), "s")
	for _, cluster := range clusters() {
		nothingDerived(t, cluster)
		if crds := kubectl(t, cluster, "get", "crd", "-o", "name"); strings.Contains(crds, "causeway") || strings.Contains(crds, "multicluster") {
			t.Errorf("%s: CRDs are left:\n%s", cluster, crds)
		}
		for _, kind := range []string{"clusterroles", "clusterrolebindings", "namespaces"} {
			if text := kubectl(t, cluster, "get", kind, "-o", "name"); strings.Contains(text, "causeway") {
				t.Errorf("%s: %s are left:\n%s", cluster, kind, text)
			}
		}
	}
}

// nothingDerived fails for every object that Causeway made and left.
func nothingDerived(t *testing.T, cluster string) {
	t.Helper()
	text := kubectl(t, cluster, "get", "services,endpointslices,secrets", "-A", "-l", "app.kubernetes.io/managed-by=causeway.dev", "-o", "name")
	if text != "" {
		t.Errorf("%s: derived objects are left:\n%s", cluster, text)
	}
}
