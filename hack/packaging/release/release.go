package release

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/causeway-mesh/causeway/hack/packaging/chart"
	"github.com/causeway-mesh/causeway/hack/packaging/image"
)

// Request says what to release, from what.
type Request struct {
	// Root is the repository.
	Root string
	// Dist holds <os>-<arch>/<command>, the binaries.
	Dist string
	// Out is emptied and filled.
	Out string
	// Version and Revision are stamped on everything.
	Version, Revision string
	// Archs of the images, as Go names them.
	Archs []string
	// At is every time in the files: that of the commit.
	At time.Time
}

// Write fills r.Out with a release and checks it.
func Write(r Request) error {
	if err := errors.Join(os.RemoveAll(r.Out), os.MkdirAll(r.Out, 0o755)); err != nil {
		return err
	}
	for _, step := range []func() error{r.binaries, r.images, r.chartAndInstall, r.sums} {
		if err := step(); err != nil {
			return fmt.Errorf("release %s: %w", r.Version, err)
		}
	}
	return Check(r.Out)
}

// binaries copies each as <command>-<os>-<arch> and lists what is in them.
func (r Request) binaries() error {
	found, err := filepath.Glob(filepath.Join(r.Dist, "*", "*"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no binary in %s: run make dist first", r.Dist)
	}
	slices.Sort(found)
	var released []string
	for _, path := range found {
		to := filepath.Join(r.Out, filepath.Base(path)+"-"+filepath.Base(filepath.Dir(path)))
		if err := copyFile(to, path); err != nil {
			return err
		}
		released = append(released, to)
	}
	sbom, err := BillOfMaterials(released, r.Version, r.At)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Out, "causeway-"+r.Version+".spdx.json"), sbom, 0o644)
}

func (r Request) images() error {
	scratch, err := os.MkdirTemp("", "causeway-images-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	paths, err := image.BuildAll(image.Request{
		Dockerfile: filepath.Join(r.Root, "config", "images", "Dockerfile"), Dist: r.Dist, Out: scratch, Repository: "causeway",
		Version: r.Version, Revision: r.Revision, Archs: r.Archs, At: r.At,
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		base, arch := cutArch(filepath.Base(path))
		if err := copyFile(filepath.Join(r.Out, base+"-image-linux-"+arch), path); err != nil {
			return err
		}
	}
	return nil
}

// cutArch splits "causeway-operator-amd64.tar" before the architecture.
func cutArch(file string) (base, arch string) {
	i := strings.LastIndex(file, "-")
	return file[:i], file[i+1:]
}

func (r Request) chartAndInstall() error {
	config := filepath.Join(r.Root, "config")
	c, err := chart.Load(filepath.Join(config, "chart"))
	if err != nil {
		return err
	}
	stamped := chart.Stamp(c, r.Version)
	archive, err := os.Create(filepath.Join(r.Out, "causeway-"+stamped.Metadata.Version+".tgz"))
	if err != nil {
		return err
	}
	if err := errors.Join(chart.Pack(archive, stamped, r.At), archive.Close()); err != nil {
		return err
	}
	install, err := Install(config, c, r.Version)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Out, "causeway-install.yaml"), install, 0o644)
}

func (r Request) sums() error {
	sums, err := Sums(r.Out)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Out, SumsFile), []byte(sums), 0o644)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func writeYAML(path string, v any) error {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
