package memory

import (
	"fmt"
	"runtime"
)

// Guard tells that what is being loaded will not fit into the container before the
// kernel kills it, and how much it needs.
//
// A load that would have fitted must not be stopped, so it takes all of this: there
// is a container's limit, which is the one that kills; what is held after a garbage
// collection is over full of what the Go runtime is given of it; more than fewRows
// are to come; and if they take as much as those before, it ends beyond the runtime's
// part by more than slack. Until something is nearly full, nothing is estimated.
type Guard struct {
	container int64
	base      int64 // what was held before anything was loaded
	read      func() Reading
	collect   func()
}

const (
	full  = 0.95
	slack = 1.05
	// fewRows are taken in whatever the estimate is: some 4 MB at most.
	fewRows = 10_000
)

// NewGuard guards what is loaded from now on.
func NewGuard(l Limit) *Guard {
	return &Guard{container: l.Container, base: Read().Held, read: Read, collect: runtime.GC}
}

// TooSmallError says that a limit is too small for what is to be loaded.
type TooSmallError struct {
	Container  int64 // the container's limit, in bytes
	Held       int64 // so far, in bytes
	Read, Rows int64 // how many rows were read, and of how many
	Needed     int64 // the container's limit that would do, in bytes, by estimate
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the container's memory limit of %s is too small: %d of %d rows take %s, and all of them need a limit of about %s: "+
		"raise resources.limits.memory of the operator's Deployment to that", size(e.Container), e.Read, e.Rows, size(e.Held), size(e.Needed))
}

// Fits tells, by a *TooSmallError, that what is being loaded does not fit: of all
// rows, so many were read. A nil Guard lets everything pass.
func (g *Guard) Fits(read, all int64) error {
	if g == nil || g.container == 0 || read == 0 || all-read <= fewRows {
		return nil
	}
	given := float64(forRuntime(g.container))
	if float64(g.read().Held) < full*given {
		return nil
	}
	g.collect()
	held := g.read().Held
	needed := float64(held) + float64(held-g.base)*float64(all-read)/float64(read)
	if float64(held) < full*given || needed <= slack*given {
		return nil
	}
	return &TooSmallError{Container: g.container, Held: held, Read: read, Rows: all, Needed: ForContainer(int64(needed / full))}
}
