// Package lru keeps what was used most recently, as much as there is room for.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps values of different sizes by their keys. What was used least
// recently goes first when they are too much. A value of more than half of the
// room is not kept: it would drive out all others, to save less than they do.
//
// It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]*list.Element
	order list.List // of *entry[K, V], the most recently used first
	taken int
	room  int
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int
}

// New is a cache with room for values whose sizes add up to so much.
func New[K comparable, V any](room int) *Cache[K, V] {
	return &Cache[K, V]{known: map[K]*list.Element{}, room: room}
}

// Get is the key's value, if it is kept.
func (c *Cache[K, V]) Get(key K) (value V, kept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.known[key]
	if at == nil {
		return value, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*entry[K, V]).value, true
}

// Take is Get, and keeps the value no longer: nobody else gets it until it is put back.
func (c *Cache[K, V]) Take(key K) (value V, kept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.known[key]
	if at == nil {
		return value, false
	}
	value = at.Value.(*entry[K, V]).value
	c.remove(at)
	return value, true
}

// Put keeps a value, instead of the one that the key had.
func (c *Cache[K, V]) Put(key K, value V, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.known[key])
	if size > c.room/2 {
		return
	}
	c.known[key] = c.order.PushFront(&entry[K, V]{key: key, value: value, size: size})
	c.taken += size
	for c.taken > c.room {
		c.remove(c.order.Back())
	}
}

// Drop keeps the key's value no longer.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.known[key])
}

func (c *Cache[K, V]) remove(at *list.Element) {
	if at == nil {
		return
	}
	gone := c.order.Remove(at).(*entry[K, V])
	c.taken -= gone.size
	delete(c.known, gone.key)
}
