package timeline

import (
	"context"
	"runtime"
)

// Pacer is how long work shares the processors with other work: WithPacer gives it to
// what is computed with a context.
type Pacer interface {
	// Pause is called at least once in a millisecond or so of work, by one goroutine. It may
	// wait for as long as others have the processor. Its error, such as the context's, ends the work.
	Pause() error
	// Rest calls what waits, with the processor given to others meanwhile.
	Rest(waiting func() error) error
}

type pacerKey struct{}

// WithPacer is a context for work that is done on one processor, as the pacer gives it.
// Without one, work yields to the scheduler now and then, and may use all processors.
func WithPacer(ctx context.Context, p Pacer) context.Context {
	return context.WithValue(ctx, pacerKey{}, p)
}

func pacerOf(ctx context.Context) Pacer {
	if ctx == nil {
		return nil
	}
	p, _ := ctx.Value(pacerKey{}).(Pacer)
	return p
}

// lookedAtOnce is how many segments are looked at between two pauses.
const lookedAtOnce = 1024

// pause lets others have the processor, and returns an error once there is no point in going
// on. Without a pacer it yields: a small request does not have to wait until the runtime
// preempts a large one, which it does every 10 ms.
func pause(ctx context.Context) error {
	if p := pacerOf(ctx); p != nil {
		return p.Pause()
	}
	runtime.Gosched()
	return ctx.Err()
}

// rest calls what waits for something, while others have the processor.
func rest(ctx context.Context, waiting func() error) error {
	if p := pacerOf(ctx); p != nil {
		return p.Rest(waiting)
	}
	return waiting()
}

// processors is how many goroutines may work at a time.
func processors(ctx context.Context) int {
	if pacerOf(ctx) != nil {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}
