package controllers

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// However reports come, grow, shrink and go: what is granted fits; no report is refused
// while all of it fits; a namespace is refused something only if it wants more than
// an equal share; and each report whose answer changes is returned.
func TestTheReportBudgetIsShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bytes = 100
		b := NewReportBudget(bytes)
		wants, told := map[reportKey]int64{}, map[reportKey]bool{} // told: it was granted
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			key := reportKey{Namespace: rapid.SampledFrom([]string{"", "a", "b", "red"}).Draw(t, "namespace"), Name: fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "name"))}
			var others []reportKey
			if rapid.IntRange(0, 4).Draw(t, "drop") == 0 {
				others = b.drop(key)
				delete(wants, key)
				delete(told, key)
			} else {
				wants[key] = rapid.Int64Range(1, 60).Draw(t, "bytes")
				told[key], others = b.want(key, wants[key])
			}
			for _, other := range others {
				if _, there := wants[other]; !there {
					t.Fatalf("%v is told, and is not there", other)
				}
				told[other] = !told[other]
			}
			granted, sums, all := int64(0), map[string]int64{}, int64(0)
			for key, bytes := range wants {
				sums[key.Namespace] += bytes
				all += bytes
				if told[key] {
					granted += bytes
				}
			}
			if granted != b.Taken() || granted > bytes {
				t.Fatalf("%d bytes are granted", granted)
			}
			for key, bytes := range wants {
				if told[key] == b.refused[key] {
					t.Fatalf("%v was told %t", key, told[key])
				}
				if !told[key] && (all <= 100 || sums[key.Namespace] <= 100/int64(len(sums))) {
					t.Fatalf("%v wants %d bytes and is refused: %v", key, bytes, sums)
				}
			}
		}
	})
}

// A namespace with many large reports takes nothing from one with a small one, in whatever order they come.
func TestAReportBudgetIsNotForThoseWhoCameFirst(t *testing.T) {
	b := NewReportBudget(1000)
	granted := map[reportKey]bool{}
	want := func(namespace, name string, bytes int64) {
		key := reportKey{Namespace: namespace, Name: name}
		var others []reportKey
		granted[key], others = b.want(key, bytes)
		for _, other := range others {
			granted[other] = !granted[other]
		}
	}
	for n := range 20 {
		want("red", fmt.Sprint("r", n), 90)
	}
	want("blue", "monthly", 300)
	want("green", "monthly", 50)
	count := map[string]int{}
	for _, key := range slices.Collect(maps.Keys(granted)) {
		if granted[key] {
			count[key.Namespace]++
		}
	}
	if count["blue"] != 1 || count["green"] != 1 || count["red"] != 7 {
		t.Errorf("granted: %v", count)
	}
}
