package chart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/hack/packaging/chart"
)

func TestThePackedChartRendersTheSameForItsVersion(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	stamped := chart.Stamp(load(t), "v1.2.3")
	var first, second bytes.Buffer
	for _, buf := range []*bytes.Buffer{&first, &second} {
		if err := chart.Pack(buf, stamped, at); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two packings differ")
	}
	for _, head := range heads(t, first.Bytes()) {
		if !head.ModTime.Equal(at) {
			t.Errorf("%s is of %s: another packing would differ", head.Name, head.ModTime)
		}
	}
	path := filepath.Join(t.TempDir(), "causeway.tgz")
	if err := os.WriteFile(path, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	packed, err := chart.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if m := packed.Metadata; m.Version != "1.2.3" || m.AppVersion != "v1.2.3" || len(packed.CRDObjects()) != 5 {
		t.Errorf("version %s, appVersion %s, %d CRDs", m.Version, m.AppVersion, len(packed.CRDObjects()))
	}
	want, err := chart.Render(stamped, values(t, required), cluster)
	if err != nil {
		t.Fatal(err)
	}
	got, err := chart.Render(packed, values(t, required), cluster)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if !strings.Contains(got["operator/deployment.yaml"], "image: causeway/causeway-operator:v1.2.3\n") {
		t.Error("the image is not that of the version")
	}
}

func heads(t *testing.T, data []byte) (out []*tar.Header) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(zip); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, head)
	}
}

func TestEveryVersionIsSemanticForHelm(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "v1.2.3-4-gabc1234-dirty": "1.2.3-4-gabc1234-dirty", "0123456": "0.0.0-commit-0123456",
		"abc1234-dirty": "0.0.0-commit-abc1234-dirty", "dev": "0.0.0-commit-dev", "v1.2": "0.0.0-commit-v1-2",
	} {
		got := chart.Semantic(version)
		if _, err := semver.StrictNewVersion(got); got != want || err != nil {
			t.Errorf("%s: %s, want %s (%v)", version, got, want, err)
		}
	}
}
