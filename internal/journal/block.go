package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// How large a block may be, so that an object stays under 512 KiB.
const (
	maxSpecBytes    = 500_000    // as JSON
	maxSegmentBytes = 350 * 1024 // of the Parquet file, before base64
	maxItems        = 4000       // in any list of the spec
)

// block is a block that was read, and is whole.
type block struct {
	Key
	spec *v1alpha1.UsageBlockSpec
	// bytes is how large the spec is as JSON.
	bytes  int
	digest Digest
	// previous is the digest that the block names as the one before it; zero where it names none.
	previous Digest
	// link is the digest that the next block names.
	link Digest
	// leftOut is what was left out of it, since the archive has it; nil: nothing.
	leftOut *Archived
	// spent tells that what the block says was let go of.
	spent bool
}

// spend lets go of what the block says. What it is stays.
func (b *block) spend() {
	b.spent = true
	b.spec.Segments = ""
	b.spec.Positions, b.spec.Meters, b.spec.Coverage, b.spec.Sealed, b.spec.Gaps = nil, nil, nil, nil, nil
}

func (b *block) compacted() bool { return b.spec.Kind == v1alpha1.BlockCompacted }

// batch is the sequences of the commit that the block is a part of.
func (b *block) batch() Key {
	if b.compacted() {
		return b.Key
	}
	first := b.From - uint64(b.spec.Part.Index)
	return Key{From: first, To: first + uint64(b.spec.Part.Count) - 1}
}

// last tells whether a commit is complete with this block.
func (b *block) last() bool { return b.batch().To == b.To }

// canonical is what a block's digest is over: the spec's JSON without the
// digest, with sorted keys and without white space. It also returns the digest
// that the spec states.
func canonical(spec []byte) (text []byte, stated string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return nil, "", err
	}
	stated, _ = fields["digest"].(string)
	delete(fields, "digest")
	text, err = marshal(fields)
	return text, stated, err
}

// marshal is JSON that leaves <, > and & as they are.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// encodeBlock gives the spec its digest, and returns it as JSON.
func encodeBlock(spec *v1alpha1.UsageBlockSpec) ([]byte, Digest, error) {
	spec.Digest = ""
	draft, err := marshal(spec)
	if err != nil {
		return nil, Digest{}, err
	}
	text, _, err := canonical(draft)
	if err != nil {
		return nil, Digest{}, err
	}
	digest := Digest(sha256.Sum256(text))
	spec.Digest = digest.String()
	out, err := marshal(spec)
	return out, digest, err
}

// ErrNewerFormat says that a block was written by a newer version.
var ErrNewerFormat = errors.New("the block's format is newer than this version knows")

// mismatch says that a block is not what its digest is over.
type mismatch struct {
	stated string
	found  Digest
}

func (m *mismatch) Error() string {
	return fmt.Sprintf("its content has the digest %s, and it says %s", m.found, m.stated)
}

// openBlock reads a block, and checks everything that can be checked of it alone.
func openBlock(stored Stored) (*block, error) {
	text, stated, err := canonical(stored.Spec)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	b := &block{Key: stored.Key, bytes: len(stored.Spec), digest: sha256.Sum256(text)}
	if stated != b.digest.String() {
		return nil, &mismatch{stated: stated, found: b.digest}
	}
	var form struct {
		Format int32 `json:"format"`
	}
	if err := json.Unmarshal(stored.Spec, &form); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if form.Format > v1alpha1.BlockFormat {
		return nil, fmt.Errorf("%w: %d, and not %d", ErrNewerFormat, form.Format, v1alpha1.BlockFormat)
	}
	b.spec = &v1alpha1.UsageBlockSpec{}
	if err := json.Unmarshal(stored.Spec, b.spec); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return b, b.check()
}

// check finds what a spec that somebody wrote by hand might have.
func (b *block) check() error {
	s := b.spec
	said := Key{From: uint64(s.Sequence), To: uint64(s.Sequence)}
	b.link = b.digest
	var err error
	if s.Covers != nil {
		said = Key{From: uint64(s.Covers.From), To: uint64(s.Covers.To)}
		if b.link, err = ParseDigest(s.Covers.Digest); err != nil {
			return err
		}
	}
	if s.PreviousDigest != "" {
		if b.previous, err = ParseDigest(s.PreviousDigest); err != nil {
			return err
		}
	}
	if b.leftOut, err = archivedOf(s.LeftOut, &reader{words: newWords()}); err != nil {
		return err
	}
	switch {
	case said != b.Key || uint64(s.Sequence) != b.To:
		return fmt.Errorf("its name says that it is block %s, and it says that it is block %s", b.Key, said)
	case (s.Covers != nil) != b.compacted():
		return fmt.Errorf("it is of kind %s, and covers is as for another kind", s.Kind)
	case s.Part.Index < 0 || s.Part.Count <= s.Part.Index || uint64(s.Part.Index) >= b.From || b.compacted() && s.Part.Count != 1:
		return fmt.Errorf("it is part %d of %d", s.Part.Index, s.Part.Count)
	}
	return nil
}
