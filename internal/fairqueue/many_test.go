package fairqueue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Many at once, for the race detector: at no time more than may.
func TestManyAtOnce(t *testing.T) {
	q := New(Limits{Total: 8, Flow: 3, Spare: 2})
	var now atomic.Int64
	var working sync.WaitGroup
	for i := range 64 {
		working.Go(func() {
			for n := range int64(50) {
				ctx, cancel := context.WithCancel(t.Context())
				if n%7 == 0 {
					cancel()
				}
				take := q.Acquire
				if n%3 == 0 {
					take = q.Resume
				}
				share, err := take(ctx, fmt.Sprint(i%5), n%4)
				cancel()
				if err != nil {
					continue
				}
				weight := share.Weight()
				if total := now.Add(weight); total > 8 {
					t.Errorf("%d at a time", total)
				}
				now.Add(-weight)
				share.Release()
			}
		})
	}
	working.Wait()
	if load := q.Load(); load != (Load{}) {
		t.Errorf("in the end there is %+v", load)
	}
}
