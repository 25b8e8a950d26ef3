package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Stamp gives a copy of the chart with its versions set: appVersion is the version
// as it is, and the chart's own the nearest semantic version.
func Stamp(c *Chart, version string) *Chart {
	stamped, meta := *c, *c.Metadata
	meta.AppVersion, meta.Version = version, Semantic(version)
	stamped.Metadata = &meta
	return &stamped
}

var (
	release  = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)([-+][0-9A-Za-z.+-]+)?$`)
	notLabel = regexp.MustCompile(`[^0-9A-Za-z-]+`)
)

// Semantic turns what `git describe` says into a semantic version, as Helm wants
// one: v1.2.3-4-gabc is 1.2.3-4-gabc, and a bare commit 0.0.0-commit-abc.
func Semantic(version string) string {
	if m := release.FindStringSubmatch(version); m != nil {
		return m[1] + m[2]
	}
	return "0.0.0-commit-" + strings.Trim(notLabel.ReplaceAllString(version, "-"), "-")
}

// Pack writes the chart as `helm package` does, with every time set to at, so that
// the same chart gives the same bytes.
func Pack(w io.Writer, c *Chart, at time.Time) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, file := range c.Raw {
		data := file.Data
		if file.Name == "Chart.yaml" {
			var err error
			if data, err = yaml.Marshal(c.Metadata); err != nil {
				return fmt.Errorf("writing Chart.yaml: %w", err)
			}
		}
		head := &tar.Header{
			Typeflag: tar.TypeReg, Name: c.Name() + "/" + file.Name, Mode: 0o644,
			Size: int64(len(data)), ModTime: at, Format: tar.FormatUSTAR,
		}
		if err := archive.WriteHeader(head); err != nil {
			return fmt.Errorf("packing %s: %w", file.Name, err)
		}
		if _, err := io.Copy(archive, bytes.NewReader(data)); err != nil {
			return fmt.Errorf("packing %s: %w", file.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("packing the chart: %w", err)
	}
	return zip.Close()
}
