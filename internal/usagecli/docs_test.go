package usagecli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What docs/kubectl-usage.md shows of a command is what the command prints: of the blocks
// that are marked as these tests' own.
func TestTheManualShowsWhatIsPrinted(t *testing.T) {
	page, err := os.ReadFile("../../docs/kubectl-usage.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)From the command's own tests.*?```console\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	server := cluster(t)
	of := map[bool]string{false: kubeconfig(t, server, "shop", "shop"), true: kubeconfig(t, server, "admin", "default")}
	shown := 0
	for _, block := range blocks {
		for _, example := range strings.Split("\n"+block[1], "\n$ kubectl usage ")[1:] {
			command, want, _ := strings.Cut(example, "\n")
			t.Run(command, func(t *testing.T) {
				args := strings.Fields(command)
				_, out, said := run(append(args, "--kubeconfig", of[strings.Contains(command, " -A")])...)
				if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(out+said)); diff != "" {
					t.Errorf("-documented +printed:\n%s", diff)
				}
			})
			shown++
		}
	}
	if shown < 3 {
		t.Errorf("the page has %d examples; want 3 or more", shown)
	}
}
