package audit

import (
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// quiet is how long nothing is said, and how long between two lines.
const quiet = 2 * time.Second

// Progress is an Input.Progress that writes a line now and then, once it takes
// longer than two seconds.
func Progress(w io.Writer, clock clock.PassiveClock) func(doing string, done, total int) {
	last := clock.Now()
	return func(doing string, done, total int) {
		now := clock.Now()
		if now.Sub(last) < quiet {
			return
		}
		last = now
		if total > 0 {
			fmt.Fprintf(w, "%s: %d of %d\n", doing, done, total)
			return
		}
		fmt.Fprintf(w, "%s: %d\n", doing, done)
	}
}
