package release

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// SumsFile is the name of the list of checksums.
const SumsFile = "SHA256SUMS"

// Sums lists the files of a directory as sha256sum does, sorted by name.
func Sums(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, entry := range entries {
		if entry.Name() == SumsFile {
			continue
		}
		sum, err := sumOf(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", fmt.Errorf("checksums: %w", err)
		}
		fmt.Fprintf(&out, "%x  %s\n", sum, entry.Name())
	}
	return out.String(), nil
}

// Check compares a directory with its SHA256SUMS: a file that was changed, is
// missing, or is not listed is an error.
func Check(dir string) error {
	want, err := os.ReadFile(filepath.Join(dir, SumsFile))
	if err != nil {
		return err
	}
	got, err := Sums(dir)
	if err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("%s does not match its %s: have\n%swant\n%s", dir, SumsFile, got, want)
	}
	return nil
}

func sumOf(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}
