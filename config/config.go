// Package config carries the manifests of this directory inside the programs
// that install them: the demo, the end-to-end tests and causewayctl.
//
// It owns nothing but the files; read-only, any goroutine.
package config

import "embed"

// Files holds crd/, rbac/ and samples/ as they are applied with kubectl.
//
//go:embed crd rbac samples
var Files embed.FS
