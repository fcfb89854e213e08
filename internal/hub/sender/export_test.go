package sender

import (
	"context"
	"time"
)

// Step does one thing, and says how long to wait before the next.
func (s *Sender) Step(ctx context.Context) time.Duration { return s.step(ctx) }
