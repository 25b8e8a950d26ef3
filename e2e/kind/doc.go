// Package kind proves Causeway on real kind clusters: images, kubelets, kube-proxy
// and CoreDNS, installed as docs/install.md says.
//
// It owns the clusters, the images of the test pods and the policy store's
// container, and it keeps what a failed run leaves behind in one folder. It leaves to
// docs/install.md how Causeway is installed: its blocks are run as they stand.
//
// `make e2e-kind` runs it. It needs docker, kind, kubectl and helm on PATH and
// honours KIND_NODE_IMAGE, KIND_CONFIG, and E2E_EXEC (see the Makefile).
//
// One goroutine drives the clusters; Exec and Kubectl may be called from any.
//
// Invariants:
//  1. Only clusters, containers and images whose names begin with Prefix are touched.
//  2. Every wait ends with its condition or names what is missing.
package kind
