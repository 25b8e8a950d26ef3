package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// document is one RoutingPolicy with the place that it was read from.
type document struct {
	from   string // "policy.yaml, document 2"
	object *unstructured.Unstructured
}

// readPolicies reads all files; "-" is stdin.
func readPolicies(files []string, stdin io.Reader) ([]document, error) {
	var out []document
	for _, name := range files {
		text, err := readAll(name, stdin)
		if err != nil {
			return nil, err
		}
		docs, err := parsePolicies(name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// readAll is bounded as the operator's answer is.
func readAll(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the user's own file
		if err != nil {
			return nil, fmt.Errorf("reading policies: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, explain.MaxPlanBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case len(text) > explain.MaxPlanBytes:
		return nil, fmt.Errorf("reading %s: it is longer than %d bytes: plan it in parts", name, explain.MaxPlanBytes)
	}
	return text, nil
}

// parsePolicies splits a file into its documents; lists are taken apart.
func parsePolicies(name string, text []byte) ([]document, error) {
	var out []document
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for i := 1; ; i++ {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		from := fmt.Sprintf("%s, document %d", name, i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		objects, err := parseDocument(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		for _, o := range objects {
			out = append(out, document{from, o})
		}
	}
}

func parseDocument(raw []byte) ([]*unstructured.Unstructured, error) {
	text, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	if string(text) == "null" {
		return nil, nil // nothing but comments
	}
	var o unstructured.Unstructured
	if err := o.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	if !o.IsList() {
		return []*unstructured.Unstructured{&o}, onlyPolicy(&o)
	}
	var out []*unstructured.Unstructured
	err = o.EachListItem(func(item runtime.Object) error {
		one := item.(*unstructured.Unstructured) //nolint:errcheck // an item of such a list is one
		out = append(out, one)
		return onlyPolicy(one)
	})
	return out, err
}

func onlyPolicy(o *unstructured.Unstructured) error {
	if got, want := o.GroupVersionKind(), api.GroupVersion.WithKind("RoutingPolicy"); got != want {
		return fmt.Errorf("it is a %s of %s: a plan is of RoutingPolicies of %s", got.Kind, got.GroupVersion(), want.GroupVersion())
	}
	if o.GetName() == "" {
		return errors.New("it has no metadata.name")
	}
	return nil
}
