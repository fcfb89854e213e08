package growth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// fileBlocks are a journal's blocks as files: what an API server has is not in the process either.
type fileBlocks string

func (b fileBlocks) path(key journal.Key) string { return filepath.Join(string(b), key.String()) }

func (b fileBlocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	file, err := os.OpenFile(b.path(key), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return journal.ErrExists
	}
	if err != nil {
		return err
	}
	_, err = file.Write(spec)
	return errors.Join(err, file.Close())
}

func (b fileBlocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	spec, err := os.ReadFile(b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return journal.Stored{}, journal.ErrNotFound
	}
	return journal.Stored{Key: key, Spec: spec}, err
}

func (b fileBlocks) Keys(context.Context) ([]journal.Key, error) {
	entries, err := os.ReadDir(string(b))
	var keys []journal.Key
	for _, entry := range entries {
		if key, is := journal.ParseKey(entry.Name()); is {
			keys = append(keys, key)
		}
	}
	return keys, err
}

func (b fileBlocks) List(ctx context.Context, each func(journal.Stored) error) error {
	keys, err := b.Keys(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b journal.Key) int { return int(a.From) - int(b.From) })
	for _, key := range keys {
		block, err := b.Get(ctx, key)
		if err == nil {
			err = each(block)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b fileBlocks) Delete(_ context.Context, key journal.Key) error {
	if err := os.Remove(b.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
