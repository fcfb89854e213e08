package buildcache

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Folder returns the folder `<cache>/<kind>/<key>`, and has fill write it first if it is not there.
// The folder appears whole or not at all: fill writes to another one, which is renamed when fill has succeeded.
func Folder(ctx context.Context, kind, key string, progress io.Writer, fill func(dir string) error) (string, error) {
	cache, err := Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, kind, key)
	if Exists(dir) {
		return dir, nil
	}
	unlock, err := Lock(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if Exists(dir) { // another process was first
		return dir, nil
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), key+".partial-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := fill(partial); err != nil {
		return "", err
	}
	// MkdirTemp made it for this user alone.
	if err := os.Chmod(partial, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(partial, dir); err != nil {
		return "", fmt.Errorf("publish what was built: %w", err)
	}
	return dir, nil
}
