package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// directory keeps objects as files, such as those of a PersistentVolume.
type directory struct{ path string }

// temporary begins the name of a file that is not an object yet.
const temporary = ".new-"

// create writes another file first, and gives it its name by a link: that is there as
// a whole or not at all, and fails where there is one. Both are on disk by then.
func (d *directory) create(_ context.Context, name string, content []byte) error {
	file := filepath.Join(d.path, filepath.FromSlash(name))
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return errExists
	}
	partial, err := os.CreateTemp(folder, temporary)
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name())
	_, err = partial.Write(content)
	if err == nil {
		err = partial.Sync()
	}
	if err := errors.Join(err, partial.Close()); err != nil {
		return err
	}
	if err := os.Link(partial.Name(), file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return errExists
		}
		return err
	}
	// The folders above may be new, too.
	for ; ; folder = filepath.Dir(folder) {
		if err := syncFolder(folder); err != nil || folder == d.path {
			return err
		}
	}
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (d *directory) read(_ context.Context, name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(d.path, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotFound
	}
	return content, err
}

func (d *directory) list(_ context.Context, prefix string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(d.path), path.Dir(prefix+"x"), func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !entry.IsDir() && strings.HasPrefix(name, prefix) && !strings.HasPrefix(entry.Name(), temporary):
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func (d *directory) close() error { return nil }
