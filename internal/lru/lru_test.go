package lru_test

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/lru"
)

func TestWhatWasUsedLeastRecentlyGoesFirst(t *testing.T) {
	c := lru.New[string, int](60)
	kept := func(key string, want bool) {
		t.Helper()
		if _, got := c.Get(key); got != want {
			t.Errorf("%s is kept: %t, want %t", key, got, want)
		}
	}
	c.Put("a", 1, 24)
	c.Put("b", 2, 24)
	kept("a", true) // and is used
	c.Put("c", 3, 24)
	kept("b", false)
	kept("a", true)
	kept("c", true)

	c.Put("a", 4, 30) // instead of what it was
	kept("c", true)
	if value, _ := c.Get("a"); value != 4 {
		t.Errorf("a is %d: want 4", value)
	}
	c.Put("a", 5, 31) // more than half of the room
	kept("a", false)
	kept("c", true)
}

func TestWhatIsTakenOrDroppedIsGone(t *testing.T) {
	c := lru.New[string, int](10)
	c.Put("a", 1, 5)
	c.Put("b", 2, 5)
	if value, kept := c.Take("a"); value != 1 || !kept {
		t.Errorf("took %d, %t: want 1, true", value, kept)
	}
	if _, kept := c.Take("a"); kept {
		t.Error("it was there twice")
	}
	c.Drop("b")
	c.Drop("b")
	// All of the room is free again.
	c.Put("c", 3, 5)
	c.Put("d", 4, 5)
	for _, key := range []string{"c", "d"} {
		if _, kept := c.Get(key); !kept {
			t.Errorf("%s is not kept: there is room", key)
		}
	}
}
