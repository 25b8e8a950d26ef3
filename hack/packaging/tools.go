//go:build tools

// Package packaging pins the command that installs the chart in tests.
package main

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
