package memory

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// load loads rows, each of which takes so many bytes, in blocks, into a container.
func load(container, base, perRow, rows int64) (read int64, collected int, err error) {
	return loadPacked(container, base, perRow, 0, rows, rows)
}

// loadPacked is load where the rows after the hot ones take as much as packed ones do.
func loadPacked(container, base, perRow, perPacked, hot, rows int64) (read int64, collected int, err error) {
	g := newGuard(container, func() Reading {
		return Reading{Held: base + min(read, hot)*perRow + max(0, read-hot)*perPacked}
	}, func() { collected++ })
	for read < rows {
		read = min(read+8192, rows)
		if err := g.Fits(read, rows); err != nil {
			return read, collected, err
		}
	}
	return read, collected, nil
}

func TestALoadThatDoesNotFitIsStopped(t *testing.T) {
	read, _, err := load(1<<30, 40*mebi, 500, 5_000_000)
	var small *TooSmallError
	if !errors.As(err, &small) {
		t.Fatalf("2.4 GiB went into 1 GiB: %v", err)
	}
	if held := 40*mebi + read*500; held > 1<<30 {
		t.Errorf("it was stopped at %d bytes, which is too late", held)
	}
	if small.Needed < 2_500_000_000 || small.Needed > 4_000_000_000 {
		t.Errorf("it says that it needs %d", small.Needed)
	}
	for _, part := range []string{"1024 MiB", "of 5000000 rows", "resources.limits.memory"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// Most of what is loaded is packed as the load goes on: what the first rows took says nothing
// of what the last ones take.
func TestALoadThatIsPackedIsNotStopped(t *testing.T) {
	const hot, rows = 1_590_000, 26_000_000 // 758 MiB, and 93 MiB of those that are packed
	if read, collected, err := loadPacked(1<<30, 40*mebi, 500, 4, hot, rows); err != nil || collected == 0 {
		t.Errorf("891 MiB did not go into 1024: it was nearly full %d times, and ended after %d rows: %v", collected, read, err)
	}
}

// A load that fits is never stopped, and one that is stopped fits into what it is
// said to need.
func TestGuard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		container := rapid.Int64Range(128*mebi, 4096*mebi).Draw(t, "container")
		base := rapid.Int64Range(20*mebi, 60*mebi).Draw(t, "base")
		perRow := rapid.Int64Range(50, 1000).Draw(t, "bytes a row")
		rows := rapid.Int64Range(0, 8_000_000).Draw(t, "rows")
		need := base + perRow*rows
		_, collected, err := load(container, base, perRow, rows)
		if err == nil {
			if need > container+fewRows*perRow {
				t.Fatalf("%d bytes went into %d", need, container)
			}
			return
		}
		if need <= forRuntime(container) {
			t.Fatalf("%d bytes of %d did not go into %d: %v", need, forRuntime(container), container, err)
		}
		if collected == 0 {
			t.Fatal("it was stopped without garbage collection")
		}
		var small *TooSmallError
		if !errors.As(err, &small) {
			t.Fatal(err)
		}
		if _, _, err := load(small.Needed, base, perRow, rows); err != nil {
			t.Fatalf("it does not fit into what it is said to need: %v", err)
		}
	})
}

func TestNobodyIsStoppedWithoutALimit(t *testing.T) {
	if _, _, err := load(0, 0, 1<<30, 1_000_000); err != nil {
		t.Error(err)
	}
	if err := (*Guard)(nil).Fits(1, 1_000_000); err != nil {
		t.Error(err)
	}
}

// What is read is what the runtime says.
func TestRead(t *testing.T) {
	runtime.GC() // what other tests left is not live
	before := Read()
	ballast := make([]byte, 64*mebi)
	for i := range ballast {
		ballast[i] = 1
	}
	runtime.GC()
	after := Read()
	if grown := after.Held - before.Held; grown < 60*mebi {
		t.Errorf("64 MiB more are held, and it says %d", grown)
	}
	if after.Used < after.Held {
		t.Errorf("used %d, held %d", after.Used, after.Held)
	}
	runtime.KeepAlive(ballast)
}
