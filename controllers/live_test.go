package controllers

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// TestTheLiveViewCatchesUp draws when the segments of an account change, from the second in which it appears. The Open
// record says so at once; what changes soon after is there soon after, and in the long run it is written once in a
// refresh. What has been held since an earlier interval is written once in a refresh from the start.
func TestTheLiveViewCatchesUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		refresh := rapid.Int64Range(1, 600).Draw(t, "refresh")
		appears := rapid.Int64Range(0, 1000).Draw(t, "appears")
		old := rapid.Bool().Draw(t, "known since an earlier interval")
		often := rapid.IntRange(1, 400).Draw(t, "often")
		account := usage.Account{Namespace: "shop", Deployment: "web"}
		l := newLive(refresh)
		if old {
			l.enter(usage.Window{Start: -3600}, []usage.Account{account}, -3600)
			l.due(-3600)
			appears = 0
		} else {
			l.enter(usage.Window{Start: -3600}, nil, -3600)
		}
		entered := []usage.Account{}
		if old {
			entered = append(entered, account)
		}
		l.enter(usage.Window{End: 3600}, entered, 0)

		changed, unwritten := int64(-1), old
		if old {
			changed = 0
		}
		var writes int64
		for now := range int64(3600) {
			if now == appears || now > appears && rapid.IntRange(1, often).Draw(t, "changes") == 1 {
				l.note([]usage.Account{account}, now)
				if !unwritten {
					changed, unwritten = now, true
				}
			}
			if len(l.due(now)) > 0 {
				writes, unwritten = writes+1, false
			}
			if !unwritten {
				continue
			}
			// It is said soon after the account has existed for twice as long, or a refresh later.
			late := min(refresh, changed-appears+soon)
			if old {
				late = refresh
			}
			if now-changed >= late {
				t.Fatalf("at %d, what changed at %d has not been said; the account appeared at %d", now, changed, appears)
			}
		}
		if most := mostWrites(3600-appears, refresh, !old); writes > most {
			t.Fatalf("%d writes, want at most %d", writes, most)
		}
	})
}

// mostWrites is how often an Open record is written at most in so many seconds.
func mostWrites(seconds, refresh int64, appeared bool) int64 {
	most := seconds/refresh + 1
	for pause := soon; appeared && pause < refresh; pause *= 2 {
		most++
	}
	return most
}
