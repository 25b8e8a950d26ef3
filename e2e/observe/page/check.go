package page

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// File is the page, seen from a command's directory, where its test runs.
const File = "../../docs/observability.md"

// Check compares a command's section of the page with what is registered, and fails with
// the difference. With write it brings the section up to date instead.
func Check(t testing.TB, registered prometheus.Collector, command string, write bool) {
	t.Helper()
	metrics, err := Metrics(registered)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(File)
	if err != nil {
		t.Fatal(err)
	}
	before, table, after, err := Section(string(text), command)
	if err != nil {
		t.Fatal(err)
	}
	want := Table(metrics)
	if write {
		if err := os.WriteFile(File, []byte(before+want+after), 0o600); err != nil { // an existing file keeps its mode
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("docs/observability.md does not tell the metrics of %s; `go test ./cmd/%s -run Page -args -write` writes it:\n%s", command, command, diff)
	}
}
