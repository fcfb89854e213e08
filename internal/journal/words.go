package journal

import (
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// words are strings and subjects that rows share, so that each is in memory once,
// or nearly: what has not come up for a while is forgotten, and is made anew
// when it comes again. So memory is needed for what is in use, and not for
// every object that ever was.
type words struct {
	strings  recent[string, string]
	subjects recent[usage.Subject, *usage.Subject]
	last     *usage.Subject // of the row before
}

// How many strings and subjects are remembered at least: together they take
// some 10 MiB at most.
const (
	recentStrings  = 1 << 15
	recentSubjects = 1 << 12
)

func newWords() *words {
	return &words{strings: recent[string, string]{least: recentStrings}, subjects: recent[usage.Subject, *usage.Subject]{least: recentSubjects}}
}

// word is the string that text wrote.
func (w *words) word(s string) (string, error) {
	if known, ok := w.strings.get(s); ok {
		return known, nil
	}
	key := strings.Clone(s) // s is a part of a page
	raw, err := untext(key)
	if err != nil {
		return "", err
	}
	w.strings.put(key, raw)
	return raw, nil
}

func (w *words) subject(s usage.Subject) *usage.Subject {
	if w.last != nil && *w.last == s {
		return w.last
	}
	known, ok := w.subjects.get(s)
	if !ok {
		known = new(s) // of the argument itself, every row would have one
		w.subjects.put(s, known)
	}
	w.last = known
	return known
}

func (w *words) attributes(s string) (usage.Attributes, error) {
	if s == "{}" {
		return "", nil
	}
	const attributes = "\x00" // no text begins so
	if known, ok := w.strings.get(attributes + s); ok {
		return usage.Attributes(known), nil
	}
	parsed, err := parseAttributes(s)
	if err != nil {
		return "", err
	}
	w.strings.put(attributes+s, string(parsed))
	return parsed, nil
}

// recent remembers at least so many of what was asked for last, and at most twice
// as many: what comes up again before that many others have come stays.
type recent[K comparable, V any] struct {
	least      int
	young, old map[K]V
}

func (r *recent[K, V]) get(key K) (V, bool) {
	value, known := r.young[key]
	if !known {
		if value, known = r.old[key]; known {
			r.put(key, value)
		}
	}
	return value, known
}

func (r *recent[K, V]) put(key K, value V) {
	if len(r.young) >= r.least || r.young == nil {
		r.young, r.old = map[K]V{}, r.young
	}
	r.young[key] = value
}
