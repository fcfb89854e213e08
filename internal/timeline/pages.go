package timeline

import "slices"

// pages is a list that a writer changes while readers read what it was: the writer
// clones its table once, and each page that it changes once, for each generation.
// The zero value is empty.
type pages[T any] struct {
	table []*page[T] // all but the last are full
	size  int
}

type page[T any] struct {
	generation uint64
	items      []T
}

// pageSize is how many items there are on a page.
const pageSize = 64

func (p *pages[T]) at(i int) T { return p.table[i/pageSize].items[i%pageSize] }

// all calls with each item.
func (p *pages[T]) all(call func(i int, item *T)) {
	for n, page := range p.table {
		for i := range page.items {
			call(n*pageSize+i, &page.items[i])
		}
	}
}

// own is an item for the writer to change. The table is the writer's own.
func (p *pages[T]) own(i int, generation uint64) *T {
	return &p.owned(i/pageSize, generation).items[i%pageSize]
}

func (p *pages[T]) owned(n int, generation uint64) *page[T] {
	if p.table[n].generation != generation {
		p.table[n] = &page[T]{generation: generation, items: slices.Clone(p.table[n].items)}
	}
	return p.table[n]
}

// push adds an item at the end. The table is the writer's own.
func (p *pages[T]) push(item T, generation uint64) {
	if p.size%pageSize == 0 {
		p.table = append(p.table, &page[T]{generation: generation})
	}
	last := p.owned(p.size/pageSize, generation)
	last.items = append(last.items, item)
	p.size++
}

// pop takes the last item away. The table is the writer's own.
func (p *pages[T]) pop(generation uint64) T {
	p.size--
	n := p.size / pageSize
	last := p.owned(n, generation)
	item := last.items[p.size%pageSize]
	clear(last.items[p.size%pageSize:])
	last.items = last.items[:p.size%pageSize]
	if len(last.items) == 0 {
		p.table[n] = nil
		p.table = p.table[:n]
	}
	return item
}
