package journal_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// errNoAnswer is what a store answers when nobody knows what became of a write.
var errNoAnswer = errors.New("no answer")

// memory is a store for tests, which can fail at any write.
type memory struct {
	mu     sync.Mutex
	blocks map[journal.Key]journal.Stored
	// before is asked before each write, by its number from 0 on; an error means
	// that it does not happen. after likewise, once it has happened.
	before, after func(write int) error
	writes        int
}

func newMemory() *memory { return &memory{blocks: map[journal.Key]journal.Stored{}} }

// clone is a store with the same blocks, which fails at nothing.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{blocks: maps.Clone(m.blocks)}
}

// write does a write, unless it is to fail.
func (m *memory) write(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	number := m.writes
	m.writes++
	if m.before != nil {
		if err := m.before(number); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if m.after != nil {
		return m.after(number)
	}
	return nil
}

func (m *memory) Create(_ context.Context, key journal.Key, spec []byte) error {
	return m.write(func() error {
		if _, ok := m.blocks[key]; ok {
			return journal.ErrExists
		}
		m.blocks[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
		return nil
	})
}

func (m *memory) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.blocks[key]
	if !ok {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (m *memory) Keys(context.Context) ([]journal.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.blocks)), nil
}

func (m *memory) List(_ context.Context, each func(journal.Stored) error) error {
	m.mu.Lock()
	blocks := slices.SortedFunc(maps.Values(m.blocks), func(a, b journal.Stored) int {
		return cmp.Or(cmp.Compare(a.Key.From, b.Key.From), cmp.Compare(a.Key.To, b.Key.To))
	})
	m.mu.Unlock()
	for _, block := range blocks {
		if err := each(block); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, key journal.Key) error {
	return m.write(func() error { delete(m.blocks, key); return nil })
}
