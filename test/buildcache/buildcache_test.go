package buildcache_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

func TestAFolderIsFilledOnceHoweverManyWantIt(t *testing.T) {
	t.Setenv(buildcache.EnvDir, t.TempDir())
	var fills atomic.Int32
	group := sync.WaitGroup{}
	for range 8 {
		group.Go(func() {
			dir, err := buildcache.Folder(t.Context(), "kind", "key", io.Discard, func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), []byte("whole"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := os.ReadFile(filepath.Join(dir, "file")); string(text) != "whole" {
				t.Errorf("the file in %s holds %q (%v), want all of it", dir, text, err)
			}
		})
	}
	group.Wait()
	if got := fills.Load(); got != 1 {
		t.Errorf("filled %d times, want once", got)
	}
}

func TestAFolderThatCouldNotBeFilledIsNotThere(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(buildcache.EnvDir, cache)
	broken := errors.New("broken")
	_, err := buildcache.Folder(t.Context(), "kind", "key", io.Discard, func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v, want that of the filling", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "kind", "key*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

func TestTheCheckoutIsFoundFromAFolderInIt(t *testing.T) {
	dir, err := buildcache.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	if !buildcache.Exists(filepath.Join(dir, "test", "buildcache", "buildcache_test.go")) {
		t.Errorf("found %s, which has not this test", dir)
	}
	t.Chdir(t.TempDir())
	if dir, err := buildcache.Checkout(); err == nil {
		t.Errorf("found %s from outside any checkout", dir)
	}
}

func TestKeysDifferWhereTheInputsDo(t *testing.T) {
	if buildcache.Key("ab", "c") == buildcache.Key("a", "bc") {
		t.Error("inputs that are cut elsewhere have the same key")
	}
	if first, again := buildcache.Key("a", "b"), buildcache.Key("a", "b"); first != again {
		t.Errorf("the same inputs have the keys %s and %s", first, again)
	}
}
