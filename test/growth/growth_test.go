package growth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// childCommand has this program be a child.
const childCommand = "growth-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		if err := Child(context.Background(), os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, os.Args[0], append([]string{childCommand}, args...)...)
}

// small is a few hours of many pods, that are kept as long: 40,000, of which the
// journal's changes, and the ledger's objects, are far more than that if they are kept as they are.
func small() *Cluster {
	return &Cluster{PerHour: 10_000, Hours: 4, Kept: 4, Limit: 92 << 20, Live: true}
}

// A leader, a standby and a start stay under a limit that they would not if what has ended
// were kept, or restored, as it is.
func TestMemoryIsBounded(t *testing.T) {
	if raced || runtime.GOOS != "linux" {
		t.Skip("the race detector takes memory of its own, and /proc is Linux's; make test runs this without the detector, too")
	}
	days := 0
	err := Run(t.Context(), t.TempDir(), small(), command, func(d *Day) {
		t.Logf("%+v, start %+v", d, d.Start)
		if days++; d.Start == nil || d.Start.Segments != d.Lead.Segments {
			t.Errorf("a start has %v, and the leader %d segments", d.Start, d.Lead.Segments)
		}
		// 50, and 65 when nothing is packed: nearly all of it is there before the first pod.
		if d.Lead.HeapMiB > 57 {
			t.Errorf("the leader has %.1f MiB after garbage collection: what has ended is to be packed", d.Lead.HeapMiB)
		}
	})
	if err != nil || days == 0 {
		t.Errorf("%d days, %v", days, err)
	}
}

// A replica that takes more than it may is ended, and named.
func TestALimitIsALimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	c := small()
	c.Limit = 8 << 20
	var over *LimitError
	if err := Run(t.Context(), t.TempDir(), c, command, func(*Day) {}); !errors.As(err, &over) || over.MiB <= 8 {
		t.Errorf("got %v", err)
	}
}

// lines are as many as are wanted.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	if len(p) > 0 {
		p[0] = '\n'
	}
	return min(1, len(p)), nil
}

// BenchmarkStart is a start after a day of 10,000 pods an hour, that are all kept, in this process.
func BenchmarkStart(b *testing.B) {
	c := &Cluster{PerHour: 10_000, Hours: 24, Kept: 72, Limit: 512 << 20}
	of, err := json.Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	folder := b.TempDir()
	if err := Child(b.Context(), []string{lead, folder, string(of)}, lines{}, io.Discard); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := Child(b.Context(), []string{restart, folder, string(of)}, strings.NewReader(fmt.Sprintln(began+c.Hours*hour)), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
