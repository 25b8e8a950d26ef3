package kind

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// testImage is an image of the suite's own: files over an empty base.
type testImage struct {
	name       string
	files      map[string]string // path in the image → path here
	entrypoint []string
	user       string
}

// tag of an image of the suite's.
func tag(name string) string { return Prefix + "e2e/" + name + ":test" }

// testImages are what runs beside Causeway: the service and its load, an unmodified
// curl, and cert-manager's controllers as hack/build.sh builds them.
func testImages(ctx context.Context, bin string) ([]testImage, error) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		return nil, fmt.Errorf("curl is needed for the image of the client pod: apt-get install curl: %w", err)
	}
	client := testImage{name: "curl", files: map[string]string{"/usr/bin/curl": curl}, entrypoint: []string{"/usr/bin/curl"}, user: "65532"}
	libraries, err := sharedLibraries(ctx, curl)
	if err != nil {
		return nil, err
	}
	for _, file := range libraries {
		client.files[file] = file
	}
	return []testImage{
		client,
		{name: "app", files: map[string]string{"/app": filepath.Join(bin, "e2e-app")}, entrypoint: []string{"/app"}, user: "65532"},
		{name: "cert-manager", files: map[string]string{"/controller": filepath.Join(bin, "cert-manager-controller")}, entrypoint: []string{"/controller"}, user: "65532"},
	}, nil
}

// sharedLibraries lists what the dynamic loader brings in, itself included.
func sharedLibraries(ctx context.Context, program string) ([]string, error) {
	out, err := run(ctx, nil, "ldd", program)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "/") {
			files = append(files, strings.TrimSuffix(word, ":"))
		}
	}
	return files, nil
}

// BuildTestImages builds the suite's images with docker and saves each as an archive.
func BuildTestImages(ctx context.Context, bin, dir string) ([]string, error) {
	images, err := testImages(ctx, bin)
	if err != nil {
		return nil, err
	}
	var archives []string
	for _, image := range images {
		archive := filepath.Join(dir, image.name+".tar")
		if err := image.build(ctx, filepath.Join(dir, image.name)); err != nil {
			return nil, fmt.Errorf("building image %s: %w", image.name, err)
		}
		if _, err := run(ctx, nil, "docker", "save", "--output", archive, tag(image.name)); err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

func (i testImage) build(ctx context.Context, dir string) error {
	defer os.RemoveAll(dir)
	for to, from := range i.files {
		if err := copyFile(from, filepath.Join(dir, "root", to)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("FROM scratch\nCOPY root/ /\nUSER %s\nENTRYPOINT [%q]\n", i.user, i.entrypoint[0])
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		return err
	}
	_, err := run(ctx, nil, "docker", "build", "--quiet", "--tag", tag(i.name), dir)
	return err
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
