package wan_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

func TestMain(m *testing.M) {
	// A worker of `go test -fuzz` speaks with its coordinator over inherited files, which
	// another execution of the program would lose; fuzzing needs no namespace.
	if slices.Contains(os.Args, "-test.fuzzworker") {
		os.Exit(m.Run())
	}
	if _, err := testbed.Enter(testbed.Outside{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
