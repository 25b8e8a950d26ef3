// Package version holds what the build stamped: it is set by -ldflags -X.
//
// It owns two strings, written by the linker alone; any goroutine may read them.
package version

// Version is the release, or "dev" for a build without a stamp.
var Version = "dev"

// Commit is the source's commit, or empty.
var Commit = ""

// String is what every command prints for --version.
func String() string {
	if Commit == "" {
		return Version
	}
	return Version + " (" + Commit + ")"
}
