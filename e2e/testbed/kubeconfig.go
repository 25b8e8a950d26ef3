package testbed

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Identity is a client of a cluster's API server.
type Identity struct {
	User   string
	Groups []string
}

// Admin may do everything.
func Admin() Identity { return Identity{User: "admin", Groups: []string{"system:masters"}} }

// ServiceAccount is the identity of a Pod: what it may do is what RBAC grants to it.
func ServiceAccount(namespace, name string) Identity {
	return Identity{
		User:   fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name),
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace},
	}
}

// Kubeconfig writes a kubeconfig for the identity to use inside the cluster's site, and
// returns its path.
func (c *Cluster) Kubeconfig(id Identity) (string, error) {
	cfg, err := c.kubeconfig(id, c.apiURL())
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.dir, "kubeconfig-"+fileName(id.User))
	return path, writeKubeconfig(cfg, path)
}

func (c *Cluster) kubeconfig(id Identity, server string) (*clientcmdapi.Config, error) {
	pair, err := c.authority.Issue(Subject{CommonName: id.User, Organizations: id.Groups})
	if err != nil {
		return nil, err
	}
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters[c.Name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.authority.CertPEM}
	cfg.AuthInfos[c.Name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	cfg.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: c.Name}
	cfg.CurrentContext = c.Name
	return cfg, nil
}

func writeKubeconfig(cfg *clientcmdapi.Config, path string) error {
	b, err := clientcmd.Write(*cfg)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	fresh := path + ".new" // whoever reads path meanwhile must not find half of it
	if err := writePrivate(fresh, b); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// MergedKubeconfig is the path of the kubeconfig with one context per cluster, named
// as the cluster, for use on the host. It exists once Start has returned, if Enter was
// given listeners named as the clusters; the current context is the first cluster's.
func (w *World) MergedKubeconfig() string { return filepath.Join(w.Dir, "kubeconfig") }

func (w *World) writeMergedKubeconfig() error {
	merged := clientcmdapi.NewConfig()
	for _, cc := range w.cfg.Clusters {
		l, ok := w.host.Listeners[cc.Name]
		if !ok {
			continue
		}
		c := w.Clusters[cc.Name]
		cfg, err := c.kubeconfig(Admin(), "https://"+localhost(l))
		if err != nil {
			return err
		}
		merged.Clusters[c.Name], merged.AuthInfos[c.Name], merged.Contexts[c.Name] = cfg.Clusters[c.Name], cfg.AuthInfos[c.Name], cfg.Contexts[c.Name]
		if merged.CurrentContext == "" {
			merged.CurrentContext = c.Name
		}
	}
	return writeKubeconfig(merged, w.MergedKubeconfig())
}

func localhost(l net.Listener) string {
	return fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port)
}

func writePrivate(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }

// fileName makes a user's name fit for a file.
func fileName(user string) string {
	b := []byte(user)
	for i, c := range b {
		if c == ':' || c == '/' {
			b[i] = '-'
		}
	}
	return string(b)
}
