package bases

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// Value is one key of values.yaml that a user may set.
type Value struct {
	// Key is its path: gateway.expose.type.
	Key string
	// Default as YAML on one line.
	Default string
	// Help is the comment above it.
	Help string
}

const page = `# The chart's values

Written from the comments in [config/chart/values.yaml](../config/chart/values.yaml) by ` + "`make generate`" + `.
A key that is not here is refused. What cannot work is refused with every fault named at once.

| key | default | meaning |
|---|---|---|
`

func writeValues(root string) error {
	data, err := os.ReadFile(filepath.Join(root, "config", "chart", "values.yaml"))
	if err != nil {
		return err
	}
	values, err := Values(data)
	if err != nil {
		return err
	}
	text := strings.Builder{}
	text.WriteString(page)
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;")
	for _, v := range values {
		fmt.Fprintf(&text, "| `%s` | `%s` | %s |\n", v.Key, v.Default, escape.Replace(v.Help))
	}
	return os.WriteFile(filepath.Join(root, "docs", "chart-values.md"), []byte(text.String()), 0o644)
}

// Values reads the keys of a values.yaml in their order. A key with a comment is
// one value, whatever its type; a map without one is descended into. A value
// without a comment is an error.
func Values(data []byte) ([]Value, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("values.yaml is empty")
	}
	return describe(doc.Content[0], "")
}

func describe(node *yaml.Node, prefix string) (out []Value, err error) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		path, help := prefix+key.Value, comment(key.HeadComment)
		if help == "" && value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			below, belowErr := describe(value, path+".")
			out, err = append(out, below...), errors.Join(err, belowErr)
			continue
		}
		if help == "" {
			err = errors.Join(err, fmt.Errorf("values.yaml: %s has no comment", path))
		}
		line, lineErr := oneLine(value)
		out, err = append(out, Value{Key: path, Default: line, Help: help}), errors.Join(err, lineErr)
	}
	return out, err
}

// comment joins the lines of the last paragraph above a key.
func comment(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

func oneLine(node *yaml.Node) (string, error) {
	flow := *node
	flow.Style, flow.HeadComment, flow.LineComment = yaml.FlowStyle, "", ""
	if node.Kind == yaml.ScalarNode {
		flow.Style = node.Style
	}
	data, err := yaml.Marshal(&flow)
	return strings.TrimSpace(string(data)), err
}
