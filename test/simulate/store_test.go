package simulate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	errKilled   = errors.New("the operator was killed")
	errNoAnswer = errors.New("nobody knows what became of the write")
)

// store keeps the journal's blocks.
type store struct {
	mu     sync.Mutex
	blocks map[journal.Key]journal.Stored
	lose   int // so many writes are done, and not answered
}

// handle is the store as one operator has it: what is killed writes no more.
type handle struct {
	*store
	dead bool // under the store's lock
}

func (h *handle) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = true
}

func (h *handle) write(do func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return errKilled
	}
	if err := do(); err != nil {
		return err
	}
	if h.lose > 0 {
		h.lose--
		return errNoAnswer
	}
	return nil
}

func (h *handle) Create(_ context.Context, key journal.Key, spec []byte) error {
	return h.write(func() error {
		if _, there := h.blocks[key]; there {
			return journal.ErrExists
		}
		h.blocks[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
		return nil
	})
}

func (h *handle) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stored, there := h.blocks[key]
	if !there {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (h *handle) Keys(context.Context) ([]journal.Key, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Keys(h.blocks), byFrom), nil
}

func (h *handle) List(_ context.Context, each func(journal.Stored) error) error {
	h.mu.Lock()
	blocks := maps.Clone(h.blocks)
	h.mu.Unlock()
	for _, key := range slices.SortedFunc(maps.Keys(blocks), byFrom) {
		if err := each(blocks[key]); err != nil {
			return err
		}
	}
	return nil
}

func byFrom(a, b journal.Key) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

func (h *handle) Delete(_ context.Context, key journal.Key) error {
	return h.write(func() error { delete(h.blocks, key); return nil })
}

// digest is of what all blocks say. Kinds that are followed at the same moment deliver in any order,
// and so come the rows of one commit: what they amount to is the same.
func (s *store) digest() string {
	hash := sha256.New()
	for _, key := range slices.SortedFunc(maps.Keys(s.blocks), byFrom) {
		block := s.blocks[key]
		var rows []string
		whole, err := journal.Open(block)
		if err == nil {
			err = whole.Changes(func(c *usage.Change) {
				rows = append(rows, fmt.Sprintf("%d %s %v %d %+v %+v %d %+v", c.Kind, c.Meter, c.Dimension, c.Level, c.Start, c.End, c.Corrects, *c.Subject))
			})
		}
		var says map[string]any
		if err = errors.Join(err, json.Unmarshal(block.Spec, &says)); err != nil {
			panic(err) // the simulation damages no block
		}
		for _, ofRows := range []string{"segments", "size", "digest", "previousDigest", "covers"} {
			delete(says, ofRows)
		}
		slices.Sort(rows)
		fmt.Fprintln(hash, key, says, rows)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
