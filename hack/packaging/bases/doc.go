// Package bases writes what is made from the chart and from controller-gen's
// output: the kustomize bases, the chart's copies of CRDs and role, and the page
// of values.
//
// It owns which template goes where. It leaves rendering to package chart, and
// every hand-written kustomization.yaml to its author.
//
// Generate must not run twice at the same time on one directory.
//
// Invariants:
//  1. There is one truth: config/chart for workloads, the Go types and markers
//     for CRDs and rights. Nothing is read from a file that is written here.
//  2. A file once generated whose source is gone is removed.
package bases
