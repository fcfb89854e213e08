package hub_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// The server ends at once, again and again, while clusters append: each chain is whole in
// the end, nothing is lost, and nothing is there twice.
func TestTheServerEndsAtOnce(t *testing.T) {
	const clusters, blocksEach, kills = 3, 60, 4
	server := postgres.Start(t)
	store, _ := database(t, server)
	var sources []*source
	for range clusters {
		s := newSource(t, enrolled(t, store), "writer", &blocks{}, nil)
		for n := range blocksEach {
			s.commit(t, holds(fmt.Sprint("of-", n), n, 20))
		}
		sources = append(sources, s)
	}
	var sent, failed atomic.Int64
	var sending sync.WaitGroup
	// The senders wait at each turn for the server to end, so that each kill hits some of them.
	turn := make(chan struct{}, clusters*blocksEach)
	for _, s := range sources {
		sending.Go(func() {
			for _, stored := range s.all() {
				<-turn
				err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
					_, err := store.Append(t.Context(), s.cluster, stored)
					if refusal, refused := errors.AsType[*hub.Refusal](err); refused {
						return false, refusal
					}
					if err != nil {
						failed.Add(1)
					}
					return err == nil, nil
				})
				if err != nil {
					t.Errorf("block %s: %v", stored.Key, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for kill := range kills {
		for range clusters * blocksEach / kills {
			turn <- struct{}{}
		}
		// In the middle of what these turns let be sent.
		reached := int64(clusters * blocksEach / kills * kill)
		if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return sent.Load() > reached, nil
		}); err != nil {
			t.Fatal(err)
		}
		server.Kill(t)
		server.Run(t)
	}
	sending.Wait()
	t.Logf("%d appends failed, %d were done", failed.Load(), sent.Load())
	for _, s := range sources {
		k := ledger(t, store, s.cluster)
		if !reflect.DeepEqual(k.blocks, s.all()) || !reflect.DeepEqual(k.changes, changesOf(s.said)) {
			t.Errorf("the hub has %d blocks and %d rows of %s, want %d and %d", len(k.blocks), len(k.changes), s.cluster, blocksEach, blocksEach*20)
		}
	}
}
