// Package wiretest keeps the bytes of a released wire version: golden files under
// testdata/wire/v1 of the package that owns the format, one per message.
//
// For tests only. Fixtures are never edited, only added: `go test -add-fixtures`
// writes those that are missing and touches no other.
package wiretest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var add = flag.Bool("add-fixtures", false, "write wire fixtures that do not exist yet; existing ones are never changed")

// dir is relative to the package under test.
const dir = "testdata/wire/v1"

// Bytes returns the fixture of a name. now is what the current code would send; it is
// only used to add a fixture.
func Bytes(t testing.TB, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join(dir, name+".hex")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && *add {
		text = []byte(hex.EncodeToString(now) + "\n")
		if err = os.MkdirAll(dir, 0o755); err == nil { //nolint:gosec // readable like the tree around it
			err = os.WriteFile(path, text, 0o644) //nolint:gosec // the same
		}
	}
	if err != nil {
		t.Fatalf("fixture %s: %v", name, err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("fixture %s: %v", name, err)
	}
	return data
}

// Same is Bytes for a format in which a message has one encoding: the current code
// must send exactly the fixture.
func Same(t testing.TB, name string, now []byte) []byte {
	t.Helper()
	data := Bytes(t, name, now)
	if !bytes.Equal(data, now) {
		t.Errorf("%s is %x now, the released version sends %x", name, now, data)
	}
	return data
}

// Complete fails for a fixture that no test has asked for by these names: a message
// of a released version must stay readable.
func Complete(t testing.TB, names map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", dir, err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".hex"); !names[name] {
			t.Errorf("nothing reads the fixture %s any more", name)
		}
	}
}
