// Package memory tells how much memory there is, how much of it is used, and when
// it will run out.
package memory

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Share is which part of a container's memory limit the Go runtime is to stay
// within. The rest is for what the runtime does not count: the program itself,
// and what the kernel keeps for it.
const Share = 0.9

// Limit is how much memory the Go runtime stays within, as long as it can: the
// nearer it is, the more of the CPU goes into garbage collection.
type Limit struct {
	// Bytes are those that the Go runtime counts (GOMEMLIMIT); 0: there is no limit.
	Bytes int64
	// Container are those at which the kernel kills the container; 0: there is no
	// such limit, or it cannot be read.
	Container int64
	// Given tells that the environment says what GOMEMLIMIT is.
	Given bool
}

// unlimited is more than any machine has. A cgroup v1 without a limit says so, to a page.
const unlimited = 1 << 60

// Adopt has the Go runtime stay within Share of the memory that the container may
// take, by its cgroup (v1 or v2), unless the environment has GOMEMLIMIT. Where
// there is no limit, none is set. The error says why a limit could not be read:
// it is as if there were none then.
func Adopt() (Limit, error) { return adopt(memlimit.FromCgroup) }

func adopt(container memlimit.Provider) (Limit, error) {
	var l Limit
	bytes, err := container()
	switch {
	case err == nil && bytes < unlimited:
		l.Container = int64(bytes)
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		err = nil
	}
	if _, l.Given = os.LookupEnv("GOMEMLIMIT"); !l.Given && l.Container > 0 {
		_, err = memlimit.Set(memlimit.WithRatio(Share), memlimit.WithProvider(memlimit.Limit(bytes)))
	}
	l.Bytes = within(debug.SetMemoryLimit(-1), l.Container)
	return l, err
}

// within is the limit that counts: that of the runtime or, where it has none or a
// larger one, the container's.
func within(runtime, container int64) int64 {
	if container > 0 {
		runtime = min(runtime, forRuntime(container))
	}
	if runtime == math.MaxInt64 {
		return 0
	}
	return runtime
}

// forRuntime is what the Go runtime may have in a container.
func forRuntime(container int64) int64 { return int64(Share * float64(container)) }

// ForContainer is the memory limit that a container needs for the Go runtime to
// have so many bytes, up to the next 64 MiB.
func ForContainer(bytes int64) int64 {
	const step = 64 << 20
	return (int64(float64(bytes)/Share) + step - 1) / step * step
}

// String is for logs.
func (l Limit) String() string {
	switch {
	case l.Bytes == 0:
		return "no memory limit"
	case l.Given && l.Bytes != forRuntime(l.Container):
		return fmt.Sprintf("%s, by GOMEMLIMIT", size(l.Bytes))
	}
	return fmt.Sprintf("%s, of the container's limit of %s", size(l.Bytes), size(l.Container))
}

func size(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
