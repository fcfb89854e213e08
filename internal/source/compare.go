package source

import (
	"context"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// item is an object in a list: namespace/name, the order in which etcd has them.
type item struct {
	key string
	state
}

// compare lists the states at all revisions at once, in the order of their
// keys, so that a page of each is all that it holds. It returns where objects
// changed.
func (h *history) compare(ctx context.Context, revisions []uint64) ([]stretch, error) {
	reels := make([]*reel, len(revisions))
	for i, revision := range revisions {
		reels[i] = &reel{history: h, opts: exactly(strconv.FormatUint(revision, 10))}
	}
	var changed []stretch
	states := make([]state, len(reels))
	for {
		if err := inParallel(ctx, len(reels), func(ctx context.Context, i int) error { return reels[i].fill(ctx) }); err != nil {
			return nil, err
		}
		key, more := first(reels)
		if !more {
			return changed, nil
		}
		// Until one of them needs its next page.
		for more := true; more; key, more = next(reels) {
			for i, r := range reels {
				states[i] = r.take(key)
			}
			for i := 1; i < len(states); i++ {
				if states[i-1] != states[i] {
					changed = append(changed, stretch{
						key: key, from: revisions[i-1], to: revisions[i], before: states[i-1], after: states[i],
					})
				}
			}
			if len(changed) > historyRequests {
				return nil, fmt.Errorf("%w within %d requests", errHistory, historyRequests)
			}
		}
	}
}

// first is the first key that any of the reels has.
func first(reels []*reel) (key string, there bool) {
	for _, r := range reels {
		if len(r.items) > 0 && (!there || r.items[0].key < key) {
			key, there = r.items[0].key, true
		}
	}
	return key, there
}

// next is first, as long as each reel has items or is at its end.
func next(reels []*reel) (key string, there bool) {
	for _, r := range reels {
		if r.empty() {
			return "", false
		}
	}
	return first(reels)
}

// reel is the list of one revision, a page at a time.
type reel struct {
	history *history
	opts    metav1.ListOptions // of the next page
	ended   bool
	last    string // the last key so far
	items   []item
}

func (r *reel) empty() bool { return len(r.items) == 0 && !r.ended }

// take is the state of the key at the reel's revision.
func (r *reel) take(key string) state {
	if len(r.items) == 0 || r.items[0].key != key {
		return state{}
	}
	taken := r.items[0].state
	r.items = r.items[1:]
	return taken
}

// fill gets the next page, if there is none.
func (r *reel) fill(ctx context.Context) error {
	for r.empty() {
		r.opts.Limit = historyPage
		page, err := r.history.list(ctx, r.opts)
		if err != nil {
			return err
		}
		for i := range page.Items {
			object := &page.Items[i]
			key := object.GetNamespace() + "/" + object.GetName()
			if key <= r.last {
				return fmt.Errorf("%w: the list has %s after %s", errHistory, key, r.last)
			}
			r.last = key
			r.items = append(r.items, item{key: key, state: stateOf(object)})
		}
		r.ended = page.GetContinue() == ""
		r.opts = metav1.ListOptions{Continue: page.GetContinue()}
	}
	return nil
}
