// Package scratch keeps bytes in files that are of use to this process alone, instead of in its memory.
package scratch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// Dir is a folder in which files are made. It is for any number of goroutines.
type Dir struct {
	path   string
	limit  int64
	bytes  atomic.Int64
	failed func(error)
	once   sync.Once
	broken atomic.Pointer[error]
}

// prefix is what all files' names begin with.
const prefix = "usage-operator-scratch-"

// ErrFull says that as much has been put as may be.
var ErrFull = errors.New("scratch: the limit is reached")

// NewDir is the folder of a path, which has to be there and to be writable, for at most limit
// bytes. What an earlier process left there is removed, as far as it can be; one that runs still
// has what it has open. The first time that something is not written later, failed is called with
// the reason: ErrFull, or the system's.
func NewDir(path string, limit int64, failed func(error)) (*Dir, error) {
	left, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	for _, file := range left {
		if strings.HasPrefix(file.Name(), prefix) {
			_ = os.Remove(filepath.Join(path, file.Name())) // or it is another user's
		}
	}
	f, err := os.CreateTemp(path, prefix+"*")
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	err = os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // another process that begins here has taken it for one that was left
	}
	return &Dir{path: path, limit: limit, failed: failed}, errors.Join(f.Close(), err)
}

// Err is why something that was put could not be read; nil: everything could. What holds it then
// has lost it, until it is made anew.
func (d *Dir) Err() error {
	if err := d.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Bytes is how much lies in files that something still refers to.
func (d *Dir) Bytes() int64 { return d.bytes.Load() }

// NewFile is a file of the folder. It is made when something is put, and goes once neither it
// nor anything that was put is referred to any more.
func (d *Dir) NewFile() *File { return &File{dir: d} }

// File has what was put, one after the other. One goroutine puts, any number read.
type File struct {
	dir  *Dir
	file *file // nil: nothing was put
	full bool
}

// file is what is open. Once nothing refers to it, it is removed; its os.File closes itself.
type file struct {
	*os.File
	size *atomic.Int64
}

func (d *Dir) create() (*file, error) {
	made, err := os.CreateTemp(d.path, prefix+"*")
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	f, name := &file{File: made, size: new(atomic.Int64)}, made.Name()
	runtime.AddCleanup(f, func(size *atomic.Int64) {
		_ = os.Remove(name) // if it cannot be, the next process does it
		d.bytes.Add(-size.Load())
	}, f.size)
	return f, nil
}

// Put keeps a copy of the bytes, and returns what reads them. It is nil when they cannot be
// written: the folder's failed has been told why, and no more is put into this file.
func (f *File) Put(b []byte) (read func() ([]byte, error)) {
	if f.full {
		return nil
	}
	at, err := f.write(b)
	if err != nil {
		f.full = true
		f.dir.once.Do(func() { f.dir.failed(err) })
		return nil
	}
	dir, from, size := f.dir, f.file, len(b)
	return func() ([]byte, error) {
		b := make([]byte, size)
		if _, err := from.ReadAt(b, at); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			err = fmt.Errorf("scratch: %d bytes at %d: %w", size, at, err)
			dir.broken.CompareAndSwap(nil, &err)
			return nil, err
		}
		return b, nil
	}
}

func (f *File) write(b []byte) (at int64, err error) {
	if f.dir.bytes.Load()+int64(len(b)) > f.dir.limit {
		return 0, fmt.Errorf("%w: %d bytes", ErrFull, f.dir.limit)
	}
	if f.file == nil {
		if f.file, err = f.dir.create(); err != nil {
			return 0, err
		}
	}
	at = f.file.size.Load()
	if _, err := f.file.WriteAt(b, at); err != nil {
		return 0, fmt.Errorf("scratch: %w", err)
	}
	f.file.size.Add(int64(len(b)))
	f.dir.bytes.Add(int64(len(b)))
	return at, nil
}
