// Package chart reads Causeway's Helm chart, renders it with Helm's own engine
// and packs it into an archive.
//
// It owns how the chart is rendered without a cluster: which Kubernetes version
// and which API groups it is told of. It leaves to bases what becomes of the
// rendered text, and to Helm everything a chart may contain.
//
// All functions are safe from any goroutine; a Chart must not be changed.
//
// Invariants:
//  1. Rendering and packing are functions of the files and the arguments alone:
//     two calls give the same bytes.
//  2. What is packed is what was rendered; only versions are stamped.
package chart
