// Package config carries the manifests of this directory inside the programs
// that install them: the demo, the end-to-end tests, causewayctl and the
// operator's own upgrade of its CRDs.
//
// It owns nothing but the files; read-only, any goroutine.
package config

import "embed"

// Files holds the objects of crd/, rbac/ and samples/ as they are applied with
// kubectl. A kustomization.yaml is no object and is left out.
//
//go:embed crd/*_*.yaml crd/mcs/*_*.yaml rbac/[^k]*.yaml samples/[^k]*.yaml
var Files embed.FS

// Observability holds what watches Causeway: grafana/ the dashboard, prometheus/ the rules
// and configurations.
//
//go:embed grafana/*.json prometheus/*.yaml
var Observability embed.FS
