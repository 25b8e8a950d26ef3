package kind

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGuideRunsTheBlocksOfASectionAfterTheNamesAndStopsAtAFailure(t *testing.T) {
	root := t.TempDir()
	page := "## Names\n```sh\nexport WHO=${WHO:-you}\n```\n## Do\ntext\n```sh\necho hello $WHO\n```\n```text\nfalse\n```\n```sh\necho again\n```\n## Fail\n```sh\nfalse\necho not reached\n```\n"
	if err := os.WriteFile(filepath.Join(root, "page.md"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGuide(root, "page.md")
	if err != nil {
		t.Fatal(err)
	}
	g.Log, g.Env = filepath.Join(root, "log"), []string{"WHO=me"}
	if err := g.Run(context.Background(), "Do"); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(g.Log)
	if !strings.Contains(string(text), "\nhello me\n") || !strings.Contains(string(text), "\nagain\n") {
		t.Errorf("printed:\n%s", text)
	}
	if err := g.Run(context.Background(), "Fail"); err == nil {
		t.Error("a failed command was passed over")
	}
	if text, _ = os.ReadFile(g.Log); strings.Contains(string(text), "\nnot reached\n") {
		t.Error("it went on after a failure")
	}
	if err := g.Run(context.Background(), "Nowhere"); err == nil {
		t.Error("a section that is not there was run")
	}
}
