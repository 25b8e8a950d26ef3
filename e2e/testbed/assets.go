package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The binaries of a cluster, as hack/build.sh names them.
const (
	binEtcd              = "etcd"
	binAPIServer         = "kube-apiserver"
	binControllerManager = "kube-controller-manager"
	binCertManager       = "cert-manager-controller"
	binKubectl           = "kubectl"
)

// crds of cert-manager, beside the binaries.
const crdsCertManager = "crds/cert-manager.yaml"

// Asset is the path of a built part: KUBEBUILDER_ASSETS first, then Config.Bin.
func (w *World) Asset(name string) (string, error) {
	for _, dir := range []string{os.Getenv("KUBEBUILDER_ASSETS"), w.cfg.Bin} {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s: build it with `make assets`", name, w.cfg.Bin)
}

// KubectlPath is a kubectl: of the built parts, or the user's own.
func (w *World) KubectlPath() (string, error) {
	if path, err := w.Asset(binKubectl); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(binKubectl)
	if err != nil {
		return "", fmt.Errorf("kubectl is neither in %s nor on PATH: build it with `make assets`", w.cfg.Bin)
	}
	return path, nil
}

// checkAssets names everything that is missing at once.
func (w *World) checkAssets() error {
	var errs []error
	for _, name := range []string{binEtcd, binAPIServer, binControllerManager, binCertManager, crdsCertManager} {
		if _, err := w.Asset(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// FindBin finds the directory of built parts: CAUSEWAY_BIN, or bin/ beside the
// nearest go.mod at or above the working directory.
func FindBin() (string, error) {
	if dir := os.Getenv("CAUSEWAY_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "bin"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: set CAUSEWAY_BIN to the directory of built parts")
		}
		dir = parent
	}
}
