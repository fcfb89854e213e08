package faults_test

import "github.com/usage-operator/usage-operator/controllers"

// sealing is how long after its end an interval may be sealed, in seconds.
const sealing = 10

// schedule is that of operators that run in this process.
var schedule = controllers.Schedule{Interval: interval, Grace: sealing, Refresh: 1, Retention: 3 * 24 * 3600}

// flags are those of operators that are processes.
var flags = []string{"--interval=1m", "--live-refresh=2s", "--seal-grace=5s", "--log-level=debug"}
