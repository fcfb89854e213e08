package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// ErrFenced says that another writer has appended: this one is not the leader any more.
var ErrFenced = errors.New("another writer has appended to the journal")

// Options are what a Journal needs.
type Options struct {
	Store Store
	// Writer names this process, and no other: a pod's name, and a random number.
	Writer string
	// Cluster is the UID of the cluster's namespace kube-system; "" where any will do.
	Cluster string
	Clock   clock.Clock
	Log     logr.Logger
	// Follower is told what is committed; nil: nobody is.
	Follower Follower
	// Retention has Load leave out sealed segments that ended more than so many seconds ago; 0: none.
	// Neither Load nor Follow keep them in memory. Nothing of the journal is deleted by it.
	Retention int64
	// InPortions, with a Retention, has Load give the segments in Portions: from when they are
	// read on they take a tenth of the memory.
	InPortions bool
	// Past reads what was left out of the journal since the archive has it; nil: there is no archive.
	Past Past
	// Lately, with a Retention, leaves in the archive what had ended before that began: the
	// State is the same, and the Follower is not told of it.
	Lately bool
	// OnlyTold is for who needs no State: what is read is told to the Follower, and not kept.
	OnlyTold bool
	// Cuts has Compact leave out what the journal says that the archive has.
	Cuts bool
	// Acknowledged, with Cuts, is up to which sequence somebody else has all that the journal
	// said: nothing is left out that they have not, nor merged with what was. It does not call
	// the Journal. Nil: there are none.
	Acknowledged func() uint64
	// Fits, when not nil, is asked after each block that is read, with how many rows
	// of how many were. An error of it, ErrTooLarge, ends Load and Follow.
	Fits func(read, all int64) error
	// Followed, when not nil, is told how each look of Follow came out.
	Followed func(error)
}

// ErrTooLarge says that the journal does not fit into memory.
var ErrTooLarge = errors.New("the journal does not fit into memory")

// Journal appends to the journal in a store. It is safe for concurrent use.
type Journal struct {
	store   Store
	writer  string
	cluster string
	clock   clock.Clock
	log     logr.Logger
	// retention is Options.Retention.
	retention int64
	// inPortions is Options.InPortions.
	inPortions bool
	// fits is Options.Fits.
	fits func(read, all int64) error
	// followed is Options.Followed.
	followed func(error)
	// past, cuts and lately are those of the options.
	past         Past
	cuts, lately bool
	// acknowledged is Options.Acknowledged.
	acknowledged func() uint64
	// follower is told under order.
	follower Follower
	// replays tells that what is read is told to the follower, and not added up.
	replays bool

	order      sync.Mutex // one Append, Load or Follow at a time
	compacting sync.Mutex // one Compact at a time

	// following is what a standby knows; nil once loaded. Under order.
	following *view
	// pending is the batch whose outcome is not known. Under order.
	pending *pending
	// tail is the block that this writer has written last; nil when it has to make
	// sure of its place by all blocks' names. Under order.
	tail *block

	mu     sync.Mutex // the rest
	loaded bool
	fenced bool
	damage *DamageError
	// chain are the blocks that make up the journal, without their segments.
	chain []*block
	// spare are blocks that one in the chain stands for.
	spare []spare
	// next is the sequence that comes next, and link the digest that it names.
	next uint64
	link Digest
	// accepted are gaps that are to be put on record, and unknown is what they leave unknown.
	accepted []Gap
	unknown  []usage.Stretch
	// archived is what the journal says of the archive; nil: nothing. What is before
	// cut has been left out, as far as that goes.
	archived *Archived
	cut      int64
	// recalled is what the archive had at recalledAt of the days that are left out next.
	recalled   *without
	recalledAt time.Time
}

// spare is a block that is to be deleted.
type spare struct {
	Key
	bytes  int
	writer string // "": not known
	// ready tells that this writer has appended since another block stood for it.
	ready bool
}

// pending is a batch as it is being written.
type pending struct {
	batch *Batch
	gaps  []Gap
	parts []part
	done  int // how many parts are written
}

type part struct {
	block *block
	json  []byte
}

// New is a journal in a store. Load comes first.
func New(o Options) *Journal {
	j := &Journal{
		store: o.Store, writer: text(o.Writer[:min(len(o.Writer), 253)]), cluster: text(o.Cluster), clock: o.Clock, log: o.Log,
		follower: o.Follower, retention: o.Retention, fits: o.Fits, followed: o.Followed,
		inPortions: o.InPortions && o.Retention > 0, past: o.Past, cuts: o.Cuts, lately: o.Lately, replays: o.OnlyTold,
		acknowledged: o.Acknowledged,
	}
	if j.follower == nil {
		j.follower = nobody{}
	}
	return j
}

// Append commits the batch, or nothing of it. ErrFenced is final. After any
// other error it is not known whether the batch was committed: append the same
// *Batch again, unchanged, until it is.
func (j *Journal) Append(ctx context.Context, batch *Batch) error {
	j.order.Lock()
	defer j.order.Unlock()
	if err := j.writable(); err != nil {
		return err
	}
	if j.pending != nil && j.pending.batch != batch {
		return errors.New("journal: the outcome of the batch before is not known yet: append that one again first")
	}
	if j.pending == nil {
		frozen, err := j.freeze(batch)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.pending = frozen
	}
	for p := j.pending; p.done < len(p.parts); p.done++ {
		if err := j.write(ctx, p.parts[p.done]); err != nil {
			return fmt.Errorf("journal: block %s: %w", p.parts[p.done].block.Key, err)
		}
	}
	j.commit()
	j.follower.Committed(batch)
	j.follower.Current()
	return nil
}

// writable tells why nothing can be appended.
func (j *Journal) writable() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.fenced:
		return ErrFenced
	case !j.loaded:
		return ErrNotLoaded
	case j.damage != nil:
		return j.damage
	}
	return nil
}

// freeze makes the blocks of a batch.
func (j *Journal) freeze(batch *Batch) (*pending, error) {
	j.mu.Lock()
	next, link, gaps := j.next, j.link, j.accepted
	said := *batch
	said.Coverage = slices.Concat(j.unknown, batch.Coverage)
	j.mu.Unlock()
	specs, err := specsOf(&said, gaps)
	if err != nil {
		return nil, err
	}
	p := &pending{batch: batch, gaps: gaps}
	for _, spec := range specs {
		spec.Sequence, spec.Writer, spec.Cluster = int64(next), j.writer, j.cluster
		if link != (Digest{}) {
			spec.PreviousDigest = link.String()
		}
		encoded, digest, err := encodeBlock(spec)
		if err != nil {
			return nil, err
		}
		spec.Segments = "" // encoded has it
		p.parts = append(p.parts, part{json: encoded, block: &block{
			Key: Key{From: next, To: next}, spec: spec, bytes: len(encoded), digest: digest, previous: link, link: digest,
		}})
		next, link = next+1, digest
	}
	return p, nil
}

// write makes sure that a part is in the store, and that its place is its own.
func (j *Journal) write(ctx context.Context, p part) error {
	err := j.store.Create(ctx, p.block.Key, p.json)
	if errors.Is(err, ErrExists) {
		err = j.compare(ctx, p.block)
	}
	if err == nil {
		err = j.confirm(ctx, p.block)
	}
	if err != nil {
		j.tail = nil // nobody knows what has become of it
		return err
	}
	j.tail = p.block
	return nil
}

// confirm makes sure that a block was the first in its place. The place is free
// too where another writer has merged and deleted the block that was there. Then
// the block before it, which this writer wrote, is deleted, in order: see holdsPlace.
func (j *Journal) confirm(ctx context.Context, b *block) error {
	if j.tail != nil {
		return j.compare(ctx, j.tail)
	}
	keys, err := j.store.Keys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key != b.Key && key.covers(b.Key) {
			return j.fence(fmt.Errorf("its place is taken by block %s", key))
		}
	}
	j.notice(keys)
	return nil
}

// compare tells whether the block that is there is the one that this writer wrote.
func (j *Journal) compare(ctx context.Context, b *block) error {
	stored, err := j.store.Get(ctx, b.Key)
	if errors.Is(err, ErrNotFound) {
		return j.fence(fmt.Errorf("block %s is gone", b.Key))
	}
	if err != nil {
		return err
	}
	there, err := openBlock(stored)
	if err != nil {
		return j.fence(fmt.Errorf("another block is in its place: %w", err))
	}
	if there.digest != b.digest {
		return j.fence(fmt.Errorf("a block of %q with the digest %s is in its place", there.spec.Writer, there.digest))
	}
	return nil
}

func (j *Journal) fence(why error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fenced = true
	return fmt.Errorf("%w: %w", ErrFenced, why)
}

// commit takes the pending batch into the chain.
func (j *Journal) commit() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.pending.parts {
		j.chain = append(j.chain, p.block)
		j.next, j.link = p.block.To+1, p.block.link
	}
	if said := j.pending.batch.Archived; said != nil {
		j.archived = said.in(j.next - 1)
	}
	// Gaps that it put on record.
	j.accepted, j.unknown = j.accepted[len(j.pending.gaps):], nil
	j.pending = nil
	for i := range j.spare {
		j.spare[i].ready = true
	}
}

// notice notes blocks in the store that one in the chain stands for: those that
// another writer left behind.
func (j *Journal) notice(keys []Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range keys {
		known := slices.ContainsFunc(j.spare, func(s spare) bool { return s.Key == key })
		covered := slices.ContainsFunc(j.chain, func(b *block) bool { return b.Key != key && b.covers(key) })
		if covered && !known {
			j.spare = append(j.spare, spare{Key: key})
		}
	}
}

// Size is how large a journal is.
type Size struct {
	Blocks int
	// Bytes are those of the blocks' specs as JSON, as far as they are known.
	Bytes int64
	// Sequence is that of the last block.
	Sequence uint64
}

// Size is how large the journal is.
func (j *Journal) Size() Size {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := Size{Blocks: len(j.chain) + len(j.spare)}
	for _, b := range j.chain {
		size.Bytes += int64(b.bytes)
		size.Sequence = max(size.Sequence, b.To)
	}
	for _, s := range j.spare {
		size.Bytes += int64(s.bytes)
	}
	return size
}
