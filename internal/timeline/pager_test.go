package timeline

import (
	"context"
	"errors"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Whoever goes away while others' parts are added up waits for them no longer.
func TestAPageIsNotWaitedForWhenNobodyReadsIt(t *testing.T) {
	pager := NewPager(8)
	for range builtAtOnce {
		pager.building <- struct{}{} // others take all the room there is
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	line := New()
	line.Publish()
	go func() {
		_, _, err := pager.Page(ctx, line.Snapshot(), Query{Window: usage.Window{End: 3600}, Size: Hour}, 3600, "", 1)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
}
