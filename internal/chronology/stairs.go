package chronology

import (
	"cmp"
	"math"
	"slices"
)

const (
	// most is how many marks are kept on each side: 128 KiB of them.
	most = 8192
	// recent is how many seconds back every second may have a mark. Marks that
	// are older may go where there are others within the coarse-th part of their age.
	recent = 30 * 60
	coarse = 30
)

// mark is a moment, in seconds since the epoch, and the revision that it bounds.
type mark struct {
	revision uint64
	at       int64
}

// stairs are marks whose revisions and moments both increase: what says less
// than another mark is left out. So there is one for each second at most.
type stairs []mark

// floor is the index of the last mark at or below the revision; -1: there is none.
func (s stairs) floor(revision uint64) int {
	at, found := slices.BinarySearchFunc(s, revision, byRevision)
	if found {
		return at
	}
	return at - 1
}

// ceiling is the index of the first mark at or above the revision; len(s): there is none.
func (s stairs) ceiling(revision uint64) int {
	at, _ := slices.BinarySearchFunc(s, revision, byRevision)
	return at
}

// since is the index of the first mark at or after the moment.
func (s stairs) since(moment int64) int {
	at, _ := slices.BinarySearchFunc(s, moment, byMoment)
	return at
}

func byRevision(m mark, revision uint64) int { return cmp.Compare(m.revision, revision) }
func byMoment(m mark, moment int64) int      { return cmp.Compare(m.at, moment) }

// upTo is the moment of the last mark at or below the revision; 0: there is none.
func (s stairs) upTo(revision uint64) int64 {
	if at := s.floor(revision); at >= 0 {
		return s[at].at
	}
	return 0
}

// from is the moment of the first mark at or above the revision; the end of
// time: there is none.
func (s stairs) from(revision uint64) int64 {
	if at := s.ceiling(revision); at < len(s) {
		return s[at].at
	}
	return math.MaxInt64
}

// raised are lower bounds with one more, in place: it replaces those that say
// less, at or above its revision.
func (s stairs) raised(m mark) stairs {
	start := s.ceiling(m.revision)
	if s.upTo(m.revision) >= m.at {
		return s
	}
	return s.put(m, start, s.since(m.at+1))
}

// lowered are upper bounds with one more, in place: it replaces those that say
// less, at or below its revision.
func (s stairs) lowered(m mark) stairs {
	if s.from(m.revision) <= m.at {
		return s
	}
	return s.put(m, s.since(m.at), s.floor(m.revision)+1)
}

// put replaces s[start:end] by m.
func (s stairs) put(m mark, start, end int) stairs {
	if end > start {
		s[start] = m
		return slices.Delete(s, start+1, end)
	}
	if s = slices.Insert(s, start, m); len(s) > most {
		s = s.thinned()
	}
	return s
}

// without is s without s[start:end], in place; s, when that is nothing.
func (s stairs) without(start, end int) stairs {
	if start >= end {
		return s
	}
	return slices.Delete(s, start, end)
}

// thinned is s with fewer old marks, in place. What is left is as true, and
// says less.
func (s stairs) thinned() stairs {
	newest, kept := s[len(s)-1].at, s[:1]
	for _, m := range s[1:] {
		spacing := int64(1)
		if age := newest - m.at; age > recent {
			spacing = age / coarse
		}
		if m.at-kept[len(kept)-1].at >= spacing {
			kept = append(kept, m)
		}
	}
	return kept
}
