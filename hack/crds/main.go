// Command crds prints the folder with the custom resource definitions of what is metered, and fills it first.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/usage-operator/usage-operator/test/crds"
)

const help = `Prints the folder with the custom resource definitions of what is metered, each in a file NAME.json.

usage: go run ./hack/crds

The first time it gets them from the projects' Go modules.
To install them all: kubectl apply --server-side -f $(go run ./hack/crds)

environment:
  USAGE_OPERATOR_CACHE   where the folder is kept (default: usage-operator in the user's cache folder)
`

func main() {
	if len(os.Args) > 1 {
		fmt.Print(help)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := crds.Build(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
