// Command kubectl-usage is the kubectl plugin that shows what was used: kubectl usage.
package main

import (
	"os"
	"path/filepath"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the logins of cloud providers' kubeconfigs

	"github.com/usage-operator/usage-operator/internal/usagecli"
)

func main() {
	os.Exit(usagecli.Run(filepath.Base(os.Args[0]), os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, time.Now))
}
