package bases_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/hack/packaging/bases"
)

const root = "../../.."

// files reads what Generate may write: config/ and the page of values.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{"config", "docs/chart-values.md"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			rel, _ := filepath.Rel(root, path)
			out[rel] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// copied is a copy of the tree in which a test may change files.
func copied(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	for path, text := range files(t, root) {
		write(t, filepath.Join(to, path), text)
	}
	return to
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsGeneratedIsUpToDate(t *testing.T) {
	work := copied(t)
	if err := bases.Generate(work); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files(t, root), files(t, work)); diff != "" {
		t.Errorf("run make generate and commit:\n%s", diff)
	}
}

func TestAnEditOfARenderedFileIsPutBackAndALeftOverGoes(t *testing.T) {
	work := copied(t)
	gateway := filepath.Join(work, "config", "gateway")
	set := filepath.Join(gateway, "statefulset.yaml")
	write(t, set, strings.Replace(files(t, root)["config/gateway/statefulset.yaml"], "replicas: 2", "replicas: 3", 1))
	write(t, filepath.Join(gateway, "old.yaml"), "# Rendered from config/chart by `make generate`: edit there.\nkind: X\n")
	write(t, filepath.Join(gateway, "own.yaml"), "kind: Y\n")
	if err := bases.Generate(work); err != nil {
		t.Fatal(err)
	}
	want := files(t, root)
	want["config/gateway/own.yaml"] = "kind: Y\n" // somebody's own stays
	if diff := cmp.Diff(want, files(t, work)); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyOurOwnCRDsCarryOurLabel(t *testing.T) {
	for path, text := range files(t, root) {
		if filepath.Dir(path) != "config/chart/crds" {
			continue
		}
		ours := strings.HasPrefix(filepath.Base(path), "federation.causeway.dev_")
		if has := strings.Contains(text, "\n    app.kubernetes.io/part-of: causeway\n"); has != ours {
			t.Errorf("%s: labelled %t, want %t", path, has, ours)
		}
	}
}

func TestAValueWithoutACommentIsRefused(t *testing.T) {
	if _, err := bases.Values([]byte("a:\n  # Help.\n  b: 1\n  c: 2\n")); err == nil || !strings.Contains(err.Error(), "a.c has no comment") {
		t.Errorf("got %v", err)
	}
}

func TestValuesAreReadWithDefaultAndComment(t *testing.T) {
	got, err := bases.Values([]byte("# Not this.\n\na:\n  # Two\n  # lines.\n  b: [1]\n# Whole.\nc:\n  d: {e: f}\n"))
	want := []bases.Value{{Key: "a.b", Default: "[1]", Help: "Two lines."}, {Key: "c", Default: "{d: {e: f}}", Help: "Whole."}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// The schema refuses unknown keys, so it must know each that values.yaml has, and
// no other.
func TestSchemaAndValuesNameTheSameKeys(t *testing.T) {
	have := files(t, root)
	values, err := bases.Values([]byte(have["config/chart/values.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	var schema node
	if err := json.Unmarshal([]byte(have["config/chart/values.schema.json"]), &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global") // Helm's own
	known := map[string]bool{}
	schema.keys("", &schema, known)
	for _, v := range values {
		if !known[v.Key] {
			t.Errorf("values.schema.json lacks %s", v.Key)
		}
		for key := range known { // a value may be a whole map
			if key == v.Key || strings.HasPrefix(key, v.Key+".") {
				delete(known, key)
			}
		}
	}
	if rest := slices.Sorted(maps.Keys(known)); len(rest) > 0 {
		t.Errorf("values.yaml lacks %v", rest)
	}
}

type node struct {
	Ref         string          `json:"$ref"`
	Properties  map[string]node `json:"properties"`
	Definitions map[string]node `json:"definitions"`
}

// keys collects the paths of all properties, inner ones included.
func (n node) keys(prefix string, top *node, into map[string]bool) {
	if name, ok := strings.CutPrefix(n.Ref, "#/definitions/"); ok {
		n = top.Definitions[name]
	}
	for name, below := range n.Properties {
		inner := map[string]bool{}
		below.keys(prefix+name+".", top, inner)
		into[prefix+name] = true
		maps.Copy(into, inner)
		if len(inner) > 0 && !strings.HasSuffix(name, "resources") {
			delete(into, prefix+name) // values.yaml comments on the leaves
		}
	}
}
