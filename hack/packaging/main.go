// Command packaging makes what users install: the kustomize bases from the chart,
// images, and a release's files. `make generate`, `make images` and `make release`
// call it; it needs no network, no Docker and no cluster.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/hack/packaging/bases"
	"github.com/causeway-mesh/causeway/hack/packaging/image"
	"github.com/causeway-mesh/causeway/hack/packaging/release"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

// options are the flags that all commands share.
type options struct {
	root, dist, out, version, revision string
	archs                              []string
	epoch                              int64
}

func command() *cobra.Command {
	cmd := &cobra.Command{Use: "packaging", Short: "Makes what users install", SilenceUsage: true, SilenceErrors: true}
	o := &options{}
	f := cmd.PersistentFlags()
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.dist, "dist", "bin/dist", "binaries, as <os>-<arch>/<command>")
	f.StringVar(&o.out, "out", "", "where to write")
	f.StringVar(&o.version, "version", "dev", "tag and stamp")
	f.StringVar(&o.revision, "revision", "unknown", "the source's commit")
	f.StringSliceVar(&o.archs, "archs", []string{"amd64", "arm64"}, "architectures of the images")
	f.Int64Var(&o.epoch, "epoch", 0, "every time in the files, in seconds since 1970")
	cmd.AddCommand(
		leaf("bases", "kustomize bases, the chart's CRDs and role, docs/chart-values.md", func() error { return bases.Generate(o.root) }),
		leaf("images", "an archive for each image and architecture", o.images),
		leaf("release", "every file of a release", o.release),
		leaf("check", "compare a release with its checksums", func() error { return release.Check(o.out) }),
	)
	return cmd
}

func leaf(use, short string, run func() error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return run() }}
}

func (o *options) images() error {
	paths, err := image.BuildAll(image.Request{
		Dockerfile: filepath.Join(o.root, "config", "images", "Dockerfile"), Dist: o.dist, Out: o.out, Repository: "causeway",
		Version: o.version, Revision: o.revision, Archs: o.archs, At: o.at(),
	})
	for _, path := range paths {
		fmt.Println(path)
	}
	return err
}

func (o *options) release() error {
	return release.Write(release.Request{
		Root: o.root, Dist: o.dist, Out: o.out, Version: o.version, Revision: o.revision, Archs: o.archs, At: o.at(),
	})
}

func (o *options) at() time.Time { return time.Unix(o.epoch, 0).UTC() }
