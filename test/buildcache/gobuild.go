package buildcache

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// progressEvery is how often a build that goes on for long says how far it is.
const progressEvery = 5 * time.Second

// Program is a command to be built from a Go module.
type Program struct {
	// Label is how progress names it, like `[3/7] kube-apiserver`.
	Label string
	// Module is the folder of the go.mod that pins its version, and Package its import path.
	Module, Package string
	// LinkerFlags are added to `-s -w`.
	LinkerFlags string
}

// Build compiles the program into the file at path, which appears whole or not at all.
func (p Program) Build(ctx context.Context, path string, progress io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	built := filepath.Join(partial, filepath.Base(path))

	command := goCommand(ctx, p.Module, "build", "-v", "-buildvcs=false",
		"-ldflags", strings.TrimSpace("-s -w "+p.LinkerFlags), "-o", built, p.Package)
	stderr, err := command.StderrPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := command.Start(); err != nil {
		return fmt.Errorf("build %s; is Go installed? %w", p.Package, err)
	}
	lines := countLines(stderr)
	stop := p.report(progress, start, lines)
	<-lines.done
	err = command.Wait()
	stop()
	if err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", p.Package, p.Module, err, lines.errors())
	}
	// go build writes a library, too, without a word.
	if info, err := os.Stat(built); err != nil || info.Mode()&0o111 == 0 {
		return fmt.Errorf("build %s in %s: it is no program; name the folder of its package main", p.Package, p.Module)
	}
	fmt.Fprintf(progress, "%s: built in %s\n", p.Label, time.Since(start).Round(time.Second))
	return os.Rename(built, path)
}

// report says every few seconds how far the build is, until stop is called.
func (p Program) report(progress io.Writer, start time.Time, lines *buildLines) (stop func()) {
	fmt.Fprintf(progress, "%s: building\n", p.Label)
	quit, quitted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(quitted)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				fmt.Fprintf(progress, "%s: %s, %d packages compiled\n",
					p.Label, now.Sub(start).Round(time.Second), lines.packages.Load())
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-quitted }
}

// buildLines is what `go build -v` prints: a line per package that it compiles, and its errors.
type buildLines struct {
	packages atomic.Int64
	other    bytes.Buffer // to be read after done
	done     chan struct{}
}

func countLines(reader io.Reader) *buildLines {
	lines := &buildLines{done: make(chan struct{})}
	go func() {
		defer close(lines.done)
		scanner := bufio.NewScanner(reader)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			line := scanner.Text()
			switch {
			case strings.HasPrefix(line, "go: downloading "):
			case line != "" && !strings.ContainsAny(line, " \t#:"):
				lines.packages.Add(1)
			default:
				lines.other.WriteString(line + "\n")
			}
		}
		_, _ = io.Copy(io.Discard, reader) // a line too long to scan must not block the build
	}()
	return lines
}

func (l *buildLines) errors() string {
	<-l.done
	return strings.TrimSpace(l.other.String())
}
