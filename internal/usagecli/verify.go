package usagecli

import (
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/usage-operator/usage-operator/internal/audit/verification"
)

// What verify ends with.
const (
	exitDifference = 1
	exitUnreadable = 2
)

// outcome is how a command ends that has said everything, or says it as an error.
type outcome struct {
	status int
	error  // nil: there is nothing more to say
}

func (e *outcome) Error() string {
	if e.error == nil {
		return ""
	}
	return e.error.Error()
}

// verify is kubectl usage verify.
func (c *cli) verify() *cobra.Command {
	v := &verification.Verification{}
	command := &cobra.Command{
		Use: "verify", Short: "Verify that the ledger adds up, by computing all of it again.",
		Long:    verification.About + "\nIt reads the API server, and does not ask the operator.\n\nExit status:\n" + verification.ExitStatuses,
		Example: "  kubectl usage verify\n  kubectl usage verify -o json | jq .firstDifference",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.Check(); err != nil {
				return misused("%v", err)
			}
			config, err := c.config.ToRESTConfig()
			if err != nil {
				return &outcome{exitUnreadable, noCluster(err)}
			}
			if err := c.findOperator(cmd.Context(), config); err != nil {
				return &outcome{exitUnreadable, err}
			}
			v.Namespace = c.operator
			whole, err := v.Run(cmd.Context(), config, c.Out, c.ErrOut)
			switch {
			case apierrors.IsForbidden(err):
				return &outcome{exitUnreadable, fmt.Errorf("%w: ask for the ClusterRole usage-operator-auditor", err)}
			case err != nil:
				return &outcome{exitUnreadable, err}
			case !whole:
				return &outcome{status: exitDifference}
			}
			return nil
		},
	}
	v.AddFlags(command.Flags())
	return command
}
