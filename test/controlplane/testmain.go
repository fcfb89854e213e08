package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Main runs the tests of a package on one control plane, and returns what TestMain exits with. prepare keeps the control
// plane for the tests, and installs what they need. etcd syncs nothing: no test outlives its machine.
func Main(tests interface{ Run() int }, options Options, prepare func(context.Context, *ControlPlane) error) int {
	options.EtcdUnsafeNoFsync, options.Progress = true, os.Stderr
	ctx, code := context.Background(), 1
	cp, err := Start(ctx, options)
	if err == nil {
		if err = prepare(ctx, cp); err == nil {
			code = tests.Run()
		}
		err = errors.Join(err, cp.Stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
