package release

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Document is the part of SPDX 2.3 that is written.
type Document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      Creation       `json:"creationInfo"`
	Packages          []Package      `json:"packages"`
	Relationships     []Relationship `json:"relationships"`
}

// Creation says who made the document, and when.
type Creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// Package is a binary or a Go module.
type Package struct {
	SPDXID           string     `json:"SPDXID"`
	Name             string     `json:"name"`
	VersionInfo      string     `json:"versionInfo"`
	DownloadLocation string     `json:"downloadLocation"`
	FilesAnalyzed    bool       `json:"filesAnalyzed"`
	Purpose          string     `json:"primaryPackagePurpose,omitempty"`
	FileName         string     `json:"packageFileName,omitempty"`
	Checksums        []Checksum `json:"checksums,omitempty"`
	ExternalRefs     []Ref      `json:"externalRefs,omitempty"`
	Comment          string     `json:"comment,omitempty"`
}

// Checksum of a file.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// Ref is a package URL.
type Ref struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// Relationship between two packages.
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// BillOfMaterials lists what the linker put into each binary: every Go module with
// its version and checksum, and the standard library. It reads the binaries alone.
func BillOfMaterials(binaries []string, version string, at time.Time) ([]byte, error) {
	if len(binaries) == 0 {
		return nil, errors.New("bill of materials: no binary given")
	}
	doc := Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: "causeway-" + version,
		DocumentNamespace: "https://github.com/causeway-mesh/causeway/spdx/" + version,
		CreationInfo:      Creation{Created: at.UTC().Format(time.RFC3339), Creators: []string{"Organization: The Causeway authors", "Tool: causeway-packaging"}},
	}
	modules := map[string]Package{}
	for _, path := range binaries {
		if err := doc.addBinary(path, version, modules); err != nil {
			return nil, fmt.Errorf("bill of materials: %w", err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(modules)) {
		doc.Packages = append(doc.Packages, modules[id])
	}
	data, err := json.MarshalIndent(doc, "", " ")
	return append(data, '\n'), err
}

func (d *Document) addBinary(path, version string, modules map[string]Package) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s was not built by Go: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	file := filepath.Base(path)
	id := "SPDXRef-Binary-" + identifier(file)
	d.Packages = append(d.Packages, Package{
		SPDXID: id, Name: file, VersionInfo: version, DownloadLocation: "NOASSERTION", Purpose: "APPLICATION", FileName: file,
		Checksums: []Checksum{{Algorithm: "SHA256", Value: hex.EncodeToString(sum[:])}},
	})
	d.Relationships = append(d.Relationships, Relationship{"SPDXRef-DOCUMENT", "DESCRIBES", id})
	deps := append([]*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}, info.Deps...)
	for _, dep := range deps {
		if dep.Replace != nil && dep.Replace.Version != "" { // a directory has no version: keep the name
			dep = dep.Replace
		}
		p := modulePackage(dep)
		modules[p.SPDXID] = p
		d.Relationships = append(d.Relationships, Relationship{id, "CONTAINS", p.SPDXID})
	}
	return nil
}

func modulePackage(m *debug.Module) Package {
	p := Package{
		SPDXID: "SPDXRef-Module-" + identifier(m.Path+"-"+m.Version), Name: m.Path, VersionInfo: m.Version,
		DownloadLocation: "NOASSERTION", Purpose: "LIBRARY",
		ExternalRefs: []Ref{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:golang/" + m.Path + "@" + m.Version}},
	}
	if m.Sum != "" {
		p.Comment = "go.sum " + m.Sum
	}
	return p
}

// identifier keeps what SPDX allows in an identifier: letters, digits, '.' and '-'.
func identifier(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, text)
}
