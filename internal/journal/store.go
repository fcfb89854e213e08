package journal

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Key is which sequences a block holds: one, or those that were merged into it.
type Key struct {
	From, To uint64
}

// String is the block's name: 000000000017, or 000000000001-000000000016.
func (k Key) String() string {
	if k.From == k.To {
		return fmt.Sprintf("%012d", k.From)
	}
	return fmt.Sprintf("%012d-%012d", k.From, k.To)
}

var keyPattern = regexp.MustCompile(`^([0-9]{12,20})(?:-([0-9]{12,20}))?$`)

// ParseKey reads what String wrote; false for any other name.
func ParseKey(name string) (Key, bool) {
	match := keyPattern.FindStringSubmatch(name)
	if match == nil {
		return Key{}, false
	}
	from, err := strconv.ParseUint(match[1], 10, 63)
	k := Key{From: from, To: from}
	if match[2] != "" && err == nil {
		k.To, err = strconv.ParseUint(match[2], 10, 63)
	}
	return k, err == nil && k.From >= 1 && k.From <= k.To && k.String() == name
}

// covers tells whether every sequence of other is one of k's.
func (k Key) covers(other Key) bool { return k.From <= other.From && other.To <= k.To }

// Stored is a block as a store keeps it.
type Stored struct {
	Key Key
	// Spec is a JSON object. A store may write it in another way that means the
	// same: with its keys in another order, or with other white space.
	Spec []byte
	// Accepts is what a person wrote to the block: the sequences that the journal
	// goes on without, such as "17-19,22".
	Accepts string
}

// What stores answer.
var (
	// ErrExists: there is a block with this key already.
	ErrExists = errors.New("the block exists already")
	// ErrNotFound: there is no block with this key.
	ErrNotFound = errors.New("there is no such block")
)

// Store keeps blocks. Every answer includes all writes that were answered
// before it was asked, by whomever.
type Store interface {
	// Create keeps a block, or answers ErrExists. After any other error the block
	// may be there or not.
	Create(ctx context.Context, key Key, spec []byte) error
	// Get is one block, or ErrNotFound.
	Get(ctx context.Context, key Key) (Stored, error)
	// Keys are the keys of all blocks, in any order.
	Keys(ctx context.Context) ([]Key, error)
	// List hands out every block, in order of From, some at a time: as they were
	// at one moment.
	List(ctx context.Context, each func(Stored) error) error
	// Delete removes a block. One that is not there is no error.
	Delete(ctx context.Context, key Key) error
}
