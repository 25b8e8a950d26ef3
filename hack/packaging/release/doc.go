// Package release puts together the files of a release: the chart's archive, the
// YAML that installs without Helm, the bill of materials, and the checksums.
//
// It owns their names and contents. It leaves compiling to the Makefile and images
// to package image.
//
// Nothing here may run twice at the same time on one directory.
//
// Invariants:
//  1. The same sources, version and time give the same bytes.
//  2. SHA256SUMS names every other file of the directory, and nothing else.
//  3. What is released is what the tests render: the same chart, the same bases.
package release
