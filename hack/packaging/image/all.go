package image

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Base is the stage that no image is made of.
const Base = "base"

// Request says which images to build, from what, and how to call them.
type Request struct {
	// Dockerfile is the path of the definition.
	Dockerfile string
	// Dist is the build context: linux-<arch>/<command>.
	Dist string
	// Out is where <name>-<arch>.tar go.
	Out string
	// Repository before the image's name: "causeway" gives causeway/causeway-operator.
	Repository string
	// Version is the tag and a label, Revision a label.
	Version, Revision string
	// Archs as Go names them.
	Archs []string
	// At is every time in the images.
	At time.Time
}

// BuildAll writes the archive of every stage but Base for each architecture and
// gives their paths.
func BuildAll(r Request) ([]string, error) {
	text, err := os.ReadFile(r.Dockerfile)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, arch := range r.Archs {
		stages, err := Parse(string(text), map[string]string{"VERSION": r.Version, "REVISION": r.Revision, "TARGETARCH": arch})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Dockerfile, err)
		}
		for _, stage := range slices.Sorted(maps.Keys(stages)) {
			if stage == Base {
				continue
			}
			path := filepath.Join(r.Out, stage+"-"+arch+".tar")
			if err := r.build(stages[stage], arch, path); err != nil {
				return nil, fmt.Errorf("image %s for %s: %w", stage, arch, err)
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

func (r Request) build(stage Stage, arch, path string) error {
	image, err := Build(stage, r.Dist, arch, r.At)
	if err != nil {
		return err
	}
	return Write(path, r.Repository+"/"+stage.Name+":"+r.Version, image)
}
