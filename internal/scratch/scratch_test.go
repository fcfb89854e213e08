//go:build unix

package scratch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/internal/scratch"
)

func newDir(t *testing.T, failed func(error)) (*scratch.Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := scratch.NewDir(path, 1<<20, failed)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestWhatWasPutIsRead(t *testing.T) {
	d, path := newDir(t, func(err error) { t.Error(err) })
	one, two := d.NewFile(), d.NewFile()
	var read []func() ([]byte, error)
	var want [][]byte
	for i := range 100 {
		b := bytes.Repeat([]byte{byte(i)}, i)
		want = append(want, bytes.Clone(b))
		read = append(read, one.Put(b))
		two.Put(b)
		clear(b) // it is a copy
	}
	for i := range read {
		if got, err := read[i](); err != nil || !bytes.Equal(got, want[i]) {
			t.Errorf("%d: got %v, %v, want %v", i, got, err, want[i])
		}
	}
	if d.Bytes() != 2*99*100/2 {
		t.Errorf("Bytes() = %d, want %d", d.Bytes(), 2*99*100/2)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v (%v), want two files", left, err)
	}
	again, err := scratch.NewDir(path, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) > 0 || again.Bytes() != 0 {
		t.Errorf("the next process finds %v (%v), want nothing", left, err)
	}
	if got, err := read[99](); err != nil || !bytes.Equal(got, want[99]) {
		t.Errorf("the one before cannot read what it has open: %v", err)
	}
	runtime.KeepAlive(two)
}

func TestAFileGoesWithWhatRefersToIt(t *testing.T) {
	d, path := newDir(t, func(err error) { t.Error(err) })
	read := d.NewFile().Put(make([]byte, 1000))
	runtime.GC()
	if d.Bytes() != 1000 {
		t.Errorf("Bytes() = %d while it can be read, want 1000", d.Bytes())
	}
	if _, err := read(); err != nil {
		t.Error(err)
	}
	read = nil
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		runtime.GC() // what is unreachable is cleaned up some time after a collection
		return d.Bytes() == 0, nil
	})
	if err != nil {
		t.Fatalf("Bytes() = %d, want 0: nothing refers to the file", d.Bytes())
	}
	_ = read
	if left, err := os.ReadDir(path); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v (%v), want nothing", left, err)
	}
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	_, err := scratch.NewDir(filepath.Join(t.TempDir(), "nosuch"), 1<<20, nil)
	if err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
}

// A folder that is full, or gone: what is put stays with the caller, and that is told once.
func TestWhatCannotBeWritten(t *testing.T) {
	var told []error
	d, path := newDir(t, func(err error) { told = append(told, err) })
	full := d.NewFile()
	kept := full.Put([]byte("kept"))

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 4
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	more := full.Put([]byte("more"))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if more != nil || full.Put([]byte("later")) != nil {
		t.Error("a file that is full takes more")
	}
	if b, err := kept(); err != nil || string(b) != "kept" {
		t.Errorf("what was put before is %q, %v", b, err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if d.NewFile().Put([]byte("x")) != nil {
		t.Error("a folder that is gone takes more")
	}
	if len(told) != 1 || !errors.Is(told[0], syscall.EFBIG) {
		t.Errorf("told %v, want that the file is too large, once", told)
	}
}

// No more than the limit is taken, of all files of a folder together.
func TestTheLimit(t *testing.T) {
	var told []error
	d, err := scratch.NewDir(t.TempDir(), 1000, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	one, two := d.NewFile(), d.NewFile()
	if one.Put(make([]byte, 600)) == nil || two.Put(make([]byte, 400)) == nil {
		t.Error("what fits is not taken")
	}
	if one.Put([]byte("x")) != nil || two.Put([]byte("x")) != nil {
		t.Error("more than the limit is taken")
	}
	if len(told) != 1 || !errors.Is(told[0], scratch.ErrFull) {
		t.Errorf("told %v, want once that it is full", told)
	}
	runtime.KeepAlive(one)
}

// The folder has the error of what cannot be read any more.
func TestWhatCannotBeRead(t *testing.T) {
	d, path := newDir(t, func(err error) { t.Error(err) })
	read := d.NewFile().Put(make([]byte, 1000))
	if _, err := read(); err != nil || d.Err() != nil {
		t.Fatalf("%v, %v", err, d.Err())
	}
	left, err := os.ReadDir(path)
	if err != nil || len(left) != 1 {
		t.Fatalf("%v, %v", left, err)
	}
	if err := os.Truncate(filepath.Join(path, left[0].Name()), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(d.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("read: %v; the folder: %v", err, d.Err())
	}
}
