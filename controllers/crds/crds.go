// Package crds installs and upgrades the kinds that the operator needs: Causeway's
// own, and the MCS API's where they are missing.
//
// It owns nothing but the order; the manifests are config/crd's. Apply is called by
// `causeway-operator crds`, which the chart runs before an upgrade: Helm installs
// CRDs once and never touches them again.
//
// Invariants:
//  1. MCS CRDs that exist are left as they are: they are shared with others.
//  2. Apply returns only when every kind is served.
package crds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/config"
)

const (
	// owner is the field manager of what is applied.
	owner = client.FieldOwner("causeway")
	// dir of config.Files; mcsDir holds the CRDs that are shared with others.
	dir    = "crd"
	mcsDir = "crd/mcs"
	// pollEvery is the pause between two looks at whether a kind is served.
	pollEvery = 200 * time.Millisecond
)

// Apply installs what is missing and upgrades our own, then waits until ctx ends or
// all are served. say is told of each.
func Apply(ctx context.Context, c client.Client, say func(format string, args ...any)) error {
	all, err := read()
	if err != nil {
		return err
	}
	for _, crd := range all {
		if err := apply(ctx, c, crd, say); err != nil {
			return fmt.Errorf("applying %s: %w", crd.object.GetName(), err)
		}
	}
	for _, crd := range all {
		if err := served(ctx, c, crd.object); err != nil {
			return fmt.Errorf("waiting for %s: %w", crd.object.GetName(), err)
		}
	}
	return nil
}

type definition struct {
	object *unstructured.Unstructured
	shared bool
}

func read() ([]definition, error) {
	var out []definition
	err := fs.WalkDir(config.Files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		data, err := fs.ReadFile(config.Files, name)
		if err != nil {
			return err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			o := &unstructured.Unstructured{}
			if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if o.GetKind() == "CustomResourceDefinition" {
				out = append(out, definition{object: o, shared: path.Dir(name) == mcsDir})
			}
		}
	})
	return out, err
}

func apply(ctx context.Context, c client.Client, d definition, say func(string, ...any)) error {
	if d.shared {
		err := c.Create(ctx, d.object.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			say("%s exists and is left as it is", d.object.GetName())
			return nil
		}
		if err == nil {
			say("%s created", d.object.GetName())
		}
		return err
	}
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(d.object.DeepCopy()), owner, client.ForceOwnership)
	if err == nil {
		say("%s applied", d.object.GetName())
	}
	return err
}

func served(ctx context.Context, c client.Client, want *unstructured.Unstructured) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		have := want.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
			return err
		}
		if established(have) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, one := range conditions {
		if m, ok := one.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}
