package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Build makes the image of a stage for linux/arch. Sources of COPY lie below dir;
// every time in the image is at.
func Build(stage Stage, dir, arch string, at time.Time) (v1.Image, error) {
	layer, err := layerOf(stage.Copies, dir, at)
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: at}, CreatedBy: "COPY " + stage.Name},
	})
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: at}
	file.Config = v1.Config{User: stage.User, Entrypoint: stage.Entrypoint, Labels: stage.Labels}
	return mutate.ConfigFile(image, file)
}

// Write saves an image as `docker save` does, under a tag "repository:tag".
func Write(path, tag string, image v1.Image) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("the tag %s: %w", tag, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := tarball.WriteToFile(path, ref, image); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func layerOf(copies []Copy, dir string, at time.Time) (v1.Layer, error) {
	var buf bytes.Buffer
	archive := tar.NewWriter(&buf)
	for _, c := range copies {
		data, err := os.ReadFile(filepath.Join(dir, c.From))
		if err != nil {
			return nil, fmt.Errorf("COPY %s: %w (run make dist first)", c.From, err)
		}
		head := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(c.To, "/"), Mode: 0o555,
			Size: int64(len(data)), ModTime: at, Format: tar.FormatUSTAR,
		}
		if err := archive.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := archive.Write(data); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
}
