package memory

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestAdopt(t *testing.T) {
	const gibi = 1 << 30
	unreadable := errors.New("memory.max is not a number")
	for name, c := range map[string]struct {
		container memlimit.Provider
		given     string // GOMEMLIMIT in the environment
		runtime   int64  // what the runtime's limit was before
		want      Limit
		set       int64 // what it is afterwards
		err       error
	}{
		"a container's limit":    {container: memlimit.Limit(gibi), want: Limit{Bytes: gibi * 9 / 10, Container: gibi}, set: gibi * 9 / 10},
		"GOMEMLIMIT is given":    {container: memlimit.Limit(gibi), given: "512MiB", runtime: gibi / 2, want: Limit{Bytes: gibi / 2, Container: gibi, Given: true}, set: gibi / 2},
		"GOMEMLIMIT is off":      {container: memlimit.Limit(gibi), given: "off", want: Limit{Bytes: gibi * 9 / 10, Container: gibi, Given: true}, set: math.MaxInt64},
		"no limit":               {container: failing(memlimit.ErrNoLimit), set: math.MaxInt64},
		"no limit but the given": {container: failing(memlimit.ErrNoLimit), given: "512MiB", runtime: gibi / 2, want: Limit{Bytes: gibi / 2, Given: true}, set: gibi / 2},
		"no cgroup":              {container: failing(memlimit.ErrNoCgroup), set: math.MaxInt64},
		"another system":         {container: failing(memlimit.ErrCgroupsNotSupported), set: math.MaxInt64},
		"it cannot be read":      {container: failing(unreadable), set: math.MaxInt64, err: unreadable},
		"cgroup v1 without one":  {container: memlimit.Limit(9223372036854771712), want: Limit{}, set: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			if c.runtime == 0 {
				c.runtime = math.MaxInt64
			}
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(c.runtime))
			t.Setenv("GOMEMLIMIT", c.given)
			if c.given == "" {
				if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
					t.Fatal(err)
				}
			}
			got, err := adopt(c.container)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v and %v, want %+v and %v", got, err, c.want, c.err)
			}
			if set := debug.SetMemoryLimit(-1); set != c.set {
				t.Errorf("the runtime's limit is %d, want %d", set, c.set)
			}
		})
	}
}

func failing(err error) memlimit.Provider { return func() (uint64, error) { return 0, err } }

// What a container is said to need does for what it is needed for, and not for much more.
func TestForContainer(t *testing.T) {
	for _, bytes := range []int64{1, 1 << 20, 900 << 20, 1 << 30, 5_000_000_000} {
		got := ForContainer(bytes)
		if got%(64<<20) != 0 || forRuntime(got) < bytes || forRuntime(got-64<<20) > bytes {
			t.Errorf("for %d bytes a limit of %d, of which the runtime has %d", bytes, got, forRuntime(got))
		}
	}
}
