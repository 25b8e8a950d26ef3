package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/causeway-mesh/causeway/hack/packaging/image"
)

const dockerfile = "../../../config/images/Dockerfile"

var commands = []string{"causeway-gateway", "causeway-operator", "causewayctl"}

// request builds from stand-ins of the binaries.
func request(t *testing.T) image.Request {
	t.Helper()
	dist := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		dir := filepath.Join(dist, "linux-"+arch)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, command := range commands {
			if err := os.WriteFile(filepath.Join(dir, command), []byte(command+" for "+arch), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return image.Request{
		Dockerfile: dockerfile, Dist: dist, Out: t.TempDir(), Repository: "causeway", Version: "v1.2.3", Revision: "abc1234",
		Archs: []string{"amd64", "arm64"}, At: time.Unix(1_700_000_000, 0).UTC(),
	}
}

func build(t *testing.T, r image.Request) []string {
	t.Helper()
	paths, err := image.BuildAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestEachProcessHasALabelledImageOfOneFile(t *testing.T) {
	r := request(t)
	if paths := build(t, r); len(paths) != 2*len(commands) {
		t.Fatalf("built %v", paths)
	}
	for _, command := range commands {
		for _, arch := range r.Archs {
			tag, err := name.NewTag("causeway/" + command + ":v1.2.3")
			if err != nil {
				t.Fatal(err)
			}
			got, err := tarball.ImageFromPath(filepath.Join(r.Out, command+"-"+arch+".tar"), &tag)
			if err != nil {
				t.Fatal(err)
			}
			file, err := got.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if file.OS != "linux" || file.Architecture != arch || !file.Created.Equal(r.At) {
				t.Errorf("%s: %s/%s of %s", command, file.OS, file.Architecture, file.Created)
			}
			want := v1.Config{User: "65532:65532", Entrypoint: []string{"/" + command}, Labels: map[string]string{
				"org.opencontainers.image.title": command, "org.opencontainers.image.version": "v1.2.3",
				"org.opencontainers.image.revision": "abc1234", "org.opencontainers.image.licenses": "Apache-2.0",
				"org.opencontainers.image.source":      "https://github.com/causeway-mesh/causeway",
				"org.opencontainers.image.vendor":      "The Causeway authors",
				"org.opencontainers.image.description": file.Config.Labels["org.opencontainers.image.description"],
			}}
			if diff := cmp.Diff(want, file.Config); diff != "" || want.Labels["org.opencontainers.image.description"] == "" {
				t.Errorf("%s: %s", command, diff)
			}
			if diff := cmp.Diff(map[string]string{command: command + " for " + arch}, contents(t, got, r.At)); diff != "" {
				t.Errorf("%s holds other files: %s", command, diff)
			}
		}
	}
}

func contents(t *testing.T, img v1.Image, at time.Time) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers (%v), want 1", len(layers), err)
	}
	stream, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	out := map[string]string{}
	for archive := tar.NewReader(stream); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if head.Mode != 0o555 || head.Uid != 0 {
			t.Errorf("%s has mode %o and owner %d: its user could change it, or not run it", head.Name, head.Mode, head.Uid)
		}
		if !head.ModTime.Equal(at) {
			t.Errorf("%s is of %s: another build would differ", head.Name, head.ModTime)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		out[head.Name] = string(data)
	}
}

func TestTwoBuildsGiveTheSameBytes(t *testing.T) {
	r := request(t)
	first := build(t, r)
	r.Out = t.TempDir()
	for i, path := range build(t, r) {
		a, errA := os.ReadFile(first[i])
		b, errB := os.ReadFile(path)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs", filepath.Base(path))
		}
	}
}

func TestMissingBinarySaysWhatToRun(t *testing.T) {
	r := request(t)
	if err := os.Remove(filepath.Join(r.Dist, "linux-arm64", "causewayctl")); err != nil {
		t.Fatal(err)
	}
	if _, err := image.BuildAll(r); err == nil || !strings.Contains(err.Error(), "make dist") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"FROM scratch AS a\nRUN true":             "RUN is not known",
		"FROM debian AS a":                        "no stage debian",
		"FROM scratch":                            "want FROM",
		"LABEL a=\"b\"":                           "before the first FROM",
		"FROM scratch AS a\nCOPY x y z":           "want COPY",
		"FROM scratch AS a\nCOPY x y":             "absolute path",
		"FROM scratch AS a\nLABEL a=b":            "want key=",
		"FROM scratch AS a\nUSER ${WHO}":          "WHO has no value",
		"FROM scratch AS a\nENTRYPOINT /x":        "invalid character",
		"FROM scratch AS a\nFROM scratch AS a":    "there twice",
		"FROM scratch AS a\nARG V\nUSER ${V}":     "V has no value",
		"FROM scratch AS a\nLABEL a=\"b":          "want key=",
		"FROM scratch AS a\nHEALTHCHECK CMD true": "HEALTHCHECK is not known",
	} {
		if _, err := image.Parse(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestStagesInheritAllButArguments(t *testing.T) {
	text := "FROM scratch AS a\nARG V=1\nLABEL v=\"${V}\" \\\n  w=\"x y\"\nUSER 1:1\nFROM a AS b\nLABEL v=\"2\"\n"
	stages, err := image.Parse(text, map[string]string{"V": "9"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"v": "9", "w": "x y"}, stages["a"].Labels); diff != "" {
		t.Error(diff)
	}
	b := stages["b"]
	if diff := cmp.Diff(map[string]string{"v": "2", "w": "x y"}, b.Labels); diff != "" || b.User != "1:1" || len(b.Args) != 0 {
		t.Error(diff, b)
	}
}
