// Package image builds container images from a Dockerfile without Docker.
//
// It owns the little of the Dockerfile's language that config/images/Dockerfile
// uses, and the archive that `docker load` and `kind load image-archive` take. It
// leaves layers, digests and the archive's format to go-containerregistry, and
// compiling to the Makefile.
//
// All functions are safe from any goroutine as long as no two write one file.
//
// Invariants:
//  1. The Dockerfile is the one definition: a line that is not understood is an
//     error, never left out.
//  2. An image is a function of the Dockerfile, the arguments, the binary and the
//     time given: two builds give the same bytes.
package image
