package attribution

import (
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"unique"
)

// label is a key with its value. Keys are few, and kept once.
type label struct {
	key   unique.Handle[string]
	value string
}

// labelSet is a set of labels: their numbers, ascending, four bytes each, in a
// string so that it can be a map's key. A set of ten takes 40 bytes.
type labelSet string

// all yields the numbers.
func (s labelSet) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for ; s != ""; s = s[4:] {
			if !yield(s.first()) {
				return
			}
		}
	}
}

func (s labelSet) first() uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// includes tells whether all of part is in s.
func (s labelSet) includes(part labelSet) bool {
	for part != "" {
		switch {
		case len(s) < len(part):
			return false
		case s[:4] == part[:4]:
			part = part[4:]
		case s[:4] > part[:4]:
			return false
		}
		s = s[4:]
	}
	return true
}

// labelTable numbers the labels that some set has.
type labelTable struct {
	numbers map[label]uint32
	entries []labelEntry // by number
	free    []uint32
}

type labelEntry struct {
	label
	sets int32 // how many sets have it
}

// set numbers labels. Whoever keeps the result retains it.
func (t *labelTable) set(labels map[string]string) labelSet {
	numbers := make([]uint32, 0, len(labels))
	for key, value := range labels {
		numbers = append(numbers, t.number(label{unique.Make(key), value}))
	}
	slices.Sort(numbers)
	packed := make([]byte, 0, 4*len(numbers))
	for _, number := range numbers {
		packed = binary.BigEndian.AppendUint32(packed, number)
	}
	return labelSet(packed)
}

func (t *labelTable) number(l label) uint32 {
	number, known := t.numbers[l]
	if known {
		return number
	}
	l.value = strings.Clone(l.value)
	if last := len(t.free) - 1; last >= 0 {
		number, t.free = t.free[last], t.free[:last]
		t.entries[number] = labelEntry{label: l}
	} else {
		number = uint32(len(t.entries))
		t.entries = append(t.entries, labelEntry{label: l})
	}
	t.numbers[l] = number
	return number
}

func (t *labelTable) retain(s labelSet) {
	for number := range s.all() {
		t.entries[number].sets++
	}
}

// release undoes a retain. The number of a label that no set has is used again.
func (t *labelTable) release(s labelSet) {
	for number := range s.all() {
		entry := &t.entries[number]
		entry.sets--
		if entry.sets == 0 {
			delete(t.numbers, entry.label)
			*entry = labelEntry{}
			t.free = append(t.free, number)
		}
	}
}

// equal tells whether s is the set of labels.
func (t *labelTable) equal(s labelSet, labels map[string]string) bool {
	if len(s) != 4*len(labels) {
		return false
	}
	for number := range s.all() {
		entry := &t.entries[number]
		if value, has := labels[entry.key.Value()]; !has || value != entry.value {
			return false
		}
	}
	return true
}
