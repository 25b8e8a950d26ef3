package kind

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Image is what counts of an image: how it runs, what it says of itself, and the
// digest of its one binary.
type Image struct {
	User       string
	Entrypoint []string
	Labels     map[string]string
	Binary     string `json:"-"` // SHA-256, hexadecimal
}

// Docker's names of the labels that the build arguments fill.
const (
	versionLabel  = "org.opencontainers.image.version"
	revisionLabel = "org.opencontainers.image.revision"
)

// InspectImage reads an image that the Docker engine has.
func InspectImage(ctx context.Context, name string) (Image, error) {
	text, err := run(ctx, nil, "docker", "image", "inspect", "--format", "{{json .Config}}", name)
	if err != nil {
		return Image{}, err
	}
	var image Image
	if err := json.Unmarshal([]byte(text), &image); err != nil {
		return Image{}, fmt.Errorf("reading the configuration of %s: %w", name, err)
	}
	if len(image.Entrypoint) != 1 {
		return Image{}, fmt.Errorf("image %s has the entry point %q, want one binary", name, image.Entrypoint)
	}
	image.Binary, err = digest(ctx, name, image.Entrypoint[0])
	return image, err
}

// digest takes a file out of an image.
func digest(ctx context.Context, name, file string) (string, error) {
	container := Prefix + "e2e-inspect"
	if _, err := run(ctx, nil, "docker", "create", "--name", container, name); err != nil {
		return "", err
	}
	defer func() { _, _ = run(context.WithoutCancel(ctx), nil, "docker", "rm", "--force", container) }()
	dir, err := os.MkdirTemp("", "causeway-image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	to := filepath.Join(dir, "binary")
	if _, err := run(ctx, nil, "docker", "cp", container+":"+file, to); err != nil {
		return "", err
	}
	data, err := os.ReadFile(to)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// BuildImage builds a target of a Dockerfile with the version that like states.
func BuildImage(ctx context.Context, dockerfile, target, dir string, like Image) (Image, error) {
	name := tag("built-" + target)
	_, err := run(ctx, nil, "docker", "build", "--quiet", "--file", dockerfile, "--target", target, "--tag", name,
		"--build-arg", "TARGETARCH=amd64", "--build-arg", "VERSION="+like.Labels[versionLabel], "--build-arg", "REVISION="+like.Labels[revisionLabel], dir)
	if err != nil {
		return Image{}, err
	}
	return InspectImage(ctx, name)
}
