package memory

import (
	"fmt"
	"runtime"
	"sort"
)

// Guard tells that what is being loaded will not fit into the container before the
// kernel kills it, and how much it needs.
//
// A load that would have fitted must not be stopped, so it takes all of this: there
// is a container's limit, which is the one that kills; what is held after a garbage
// collection is over full of what the Go runtime is given of it; more than fewRows
// are to come; and if they take as much as the later half of those before, it ends beyond the
// runtime's part by more than slack. Until something is nearly full, nothing is estimated.
// The later half, for old days are packed as the load goes on: a history takes less and
// less the longer it is.
type Guard struct {
	container int64
	marks     []mark // what was held when, from before anything was loaded on
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
	return newGuard(l.Container, Read, runtime.GC)
}

func newGuard(container int64, read func() Reading, collect func()) *Guard {
	return &Guard{container: container, marks: []mark{{held: read().Held}}, read: read, collect: collect}
}

// mark is what was held when so many rows were read.
type mark struct{ rows, held int64 }

// halfway is what was held when half as many rows were read, or somewhat fewer.
func (g *Guard) halfway(read int64) mark {
	i := sort.Search(len(g.marks), func(i int) bool { return g.marks[i].rows > read/2 })
	return g.marks[max(0, i-1)]
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
	if g == nil || g.container == 0 || read == 0 {
		return nil
	}
	held := g.read().Held
	if last := g.marks[len(g.marks)-1].rows; read < last {
		g.marks = g.marks[:1] // it began anew
	} else if read > last+last/64 { // so that there are few of them, however long it goes on
		g.marks = append(g.marks, mark{read, held})
	}
	given := float64(forRuntime(g.container))
	if all-read <= fewRows || float64(held) < full*given {
		return nil
	}
	g.collect()
	held = g.read().Held
	half := g.halfway(read)
	needed := float64(held) + float64(max(0, held-half.held))*float64(all-read)/float64(read-half.rows)
	if float64(held) < full*given || needed <= slack*given {
		return nil
	}
	return &TooSmallError{Container: g.container, Held: held, Read: read, Rows: all, Needed: ForContainer(int64(needed / full))}
}
