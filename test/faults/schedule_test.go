package faults_test

import "github.com/usage-operator/usage-operator/controllers"

// sealing is how long after its end an interval may be sealed, in seconds.
const sealing = 2

// schedule is that of operators that run in this process.
var schedule = controllers.Schedule{Interval: interval, Flush: 1, SealTimeout: 600, Refresh: 1, Retention: 3 * 24 * 3600}

// flags are those of operators that are processes.
var flags = []string{
	"--interval=1m", "--live-refresh=2s", "--flush-interval=1s", "--check-interval=0",
	"--leader-elect-lease-duration=6s", "--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=1s",
}
