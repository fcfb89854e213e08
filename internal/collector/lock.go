package collector

import "sync"

// lock is the collector's one. Tests watch how long it is held.
type lock struct {
	sync.Mutex
	watch func(locked bool) // nil but in tests
}

func (l *lock) Lock() {
	l.Mutex.Lock()
	if l.watch != nil {
		l.watch(true)
	}
}

func (l *lock) Unlock() {
	if l.watch != nil {
		l.watch(false)
	}
	l.Mutex.Unlock()
}
