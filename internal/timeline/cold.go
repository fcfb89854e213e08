package timeline

import (
	"context"
	"fmt"
	"slices"
	"unsafe"

	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What is sealed and older than the hot days is cold: it is in packed blocks, and unpacked when
// a question needs its segments. Nothing else tells it from what is hot: the sums of its classes
// are there, and a window between full hours needs nothing more.

// coldBlock is the segments of some classes that ended on one day, packed. It never changes;
// what is taken out of it is in another one.
type coldBlock struct {
	day int64
	// low and high are the bounds of its segments: the first moment that any of them says
	// something of, and when all of them had ended for sure.
	low, high int64
	classes   []int32
	records   int
	packed    []byte                 // nil: it is on a shelf, from which
	taken     func() ([]byte, error) // it is taken
	size      int                    // of what is packed
	gone      []uint32               // places of what was taken out, in order
}

// mayMatter tells whether anything in it may matter to the window.
func (b *coldBlock) mayMatter(w usage.Window) bool { return b.low < w.End && b.high >= w.Start }

// unpacked is a block that was unpacked: a chunk for each of its classes.
type unpacked struct{ chunks []chunk }

// cold is what a snapshot has of what is cold.
type cold struct {
	blocks []*coldBlock
	kept   *lru.Cache[*coldBlock, *unpacked]
	shelf  Shelf // the writer's; nil: there is none
}

// Shelf keeps packed blocks elsewhere than in memory.
type Shelf interface {
	// Put keeps a copy of a block, and returns what reads it, for any number of goroutines at a
	// time. It is nil when the block cannot be kept there: it stays in memory then.
	Put(block []byte) (read func() ([]byte, error))
}

// put puts a block on a shelf, if there is one.
func (b *coldBlock) put(s Shelf) {
	if s == nil {
		return
	}
	if b.taken = s.Put(b.packed); b.taken != nil {
		b.packed = nil
	}
}

// take is what is packed.
func (b *coldBlock) take() ([]byte, error) {
	if b.taken == nil {
		return b.packed, nil
	}
	return b.taken()
}

// unreadableBlock says that a block is not what was packed: something else has written to this
// memory or to its shelf, or that cannot be read, and nothing can be said. The journal has it all:
// the next start makes it anew.
func unreadableBlock(b *coldBlock, err error) string {
	return fmt.Sprintf("timeline: a packed block of the day %d cannot be read: %v", b.day, err)
}

// open unpacks a block, or finds it unpacked.
func (k *cold) open(b *coldBlock) *unpacked {
	if u, kept := k.kept.Get(b); kept {
		return u
	}
	p, chunks, err := b.unpack()
	if err != nil {
		panic(unreadableBlock(b, err))
	}
	chunks = b.remaining(chunks)
	u := &unpacked{chunks: chunks}
	k.kept.Put(b, u, p.bytes()+b.records*int(unsafe.Sizeof(record{})))
	return u
}

// remaining are the chunks without what was taken out.
func (b *coldBlock) remaining(chunks []chunk) []chunk {
	if len(b.gone) == 0 {
		return chunks
	}
	gone, at := b.gone, 0 // at is a place
	for i := range chunks {
		c := &chunks[i]
		rest := chunk{part: c.part, maxSlack: c.maxSlack}
		for j := range c.records {
			if len(gone) > 0 && int(gone[0]) == at+j {
				gone = gone[1:]
				continue
			}
			rest.records = append(rest.records, c.records[j])
			if j < c.carried {
				rest.carried++
			}
		}
		at += len(c.records)
		*c = rest
	}
	return chunks
}

// bytes is about how much memory a part of one text takes.
func (p *part) bytes() int {
	return len(p.text[0]) + len(p.objects)*int(unsafe.Sizeof(partObject{})) +
		len(p.holders)*int(unsafe.Sizeof(partHolder{})) + len(p.slacks)*int(unsafe.Sizeof(slack{})) + 1024
}

// hasCold tells whether anything of the class that is cold may matter to the window.
func (c *class) hasCold(w usage.Window) bool { return c.coldUntil >= w.Start }

// each calls with what is cold of the wanted classes and may matter to any of the windows: the
// number of the class, and a chunk, in which there may be more. It unpacks one block at a time,
// and those only that have any of that. Before it looks into one it asks whether to go on, and
// returns what that says, or what call does.
func (k *cold) each(goesOn func() error, windows []usage.Window, wanted func(class int) bool, call func(class int, c *chunk) error) error {
	for _, b := range k.blocks {
		if !slices.ContainsFunc(windows, b.mayMatter) {
			continue
		}
		if err := goesOn(); err != nil {
			return err
		}
		if !slices.ContainsFunc(b.classes, func(id int32) bool { return wanted(int(id)) }) {
			continue
		}
		chunks := k.open(b).chunks
		for i, id := range b.classes {
			if !wanted(int(id)) {
				continue
			}
			if err := call(int(id), &chunks[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachIn is each of one window, for as long as the context is not done.
func (k *cold) eachIn(ctx context.Context, w usage.Window, wanted func(class int) bool, call func(class int, c *chunk)) error {
	return k.each(func() error { return pause(ctx) }, []usage.Window{w}, wanted, func(id int, c *chunk) error {
		call(id, c)
		return nil
	})
}
