package kind

import (
	"context"
	"os"
	"path/filepath"
)

// Collect keeps what explains a failed run: objects, events, logs and tables, a
// folder for each cluster under dir. It does what it can and reports nothing: the
// run has failed already.
func (l *Lab) Collect(ctx context.Context, dir string) {
	for _, cluster := range l.cfg.Clusters {
		to := filepath.Join(dir, cluster)
		if os.MkdirAll(to, 0o755) != nil {
			return
		}
		keep := func(name string, args ...string) {
			text, err := l.Kubectl(ctx, cluster, args...)
			if err != nil {
				text += "\n" + err.Error()
			}
			_ = os.WriteFile(filepath.Join(to, name), []byte(text), 0o644)
		}
		keep("pods.txt", "get", "pods", "-A", "-o", "wide")
		keep("events.txt", "get", "events", "-A", "--sort-by=.lastTimestamp")
		keep("causeway.yaml", "get", "meshfederations,routingpolicies,effectivepolicies,serviceexports,serviceimports", "-A", "-o", "yaml")
		keep("workloads.yaml", "get", "all,endpointslices,configmaps", "-n", "causeway-system", "-o", "yaml")
		keep("shop.yaml", "get", "all,endpointslices", "-n", "shop", "-o", "yaml")
		keep("certificates.yaml", "get", "certificates,certificaterequests,issuers", "-A", "-o", "yaml")
		keep("operator.log", "logs", "-n", "causeway-system", "-l", "app.kubernetes.io/name=causeway-operator", "--prefix", "--tail=-1")
		keep("gateway.log", "logs", "-n", "causeway-system", "-l", "app.kubernetes.io/name=causeway-gateway", "--prefix", "--tail=-1")
		for _, gateway := range []string{"causeway-gateway-0", "causeway-gateway-1"} {
			keep(gateway+"-table.json", "get", "--raw", "/api/v1/namespaces/causeway-system/pods/http:"+gateway+":8081/proxy/config")
		}
		for _, name := range []string{"cert-manager"} {
			keep(name+".log", "logs", "-n", name, "deployment/"+name, "--tail=500")
		}
	}
	text, _ := run(ctx, nil, "docker", "logs", StoreContainer)
	_ = os.WriteFile(filepath.Join(dir, "policy-store.log"), []byte(text), 0o644)
}

// StoreContainer is the policy store's, as docs/install.md names it.
const StoreContainer = "causeway-store"
