package chart_test

import (
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/lint/support"
)

// TestHelmLint has Helm's own linter look at the charts, with warnings as errors.
func TestHelmLint(t *testing.T) {
	lint := action.NewLint()
	lint.Strict, lint.Namespace = true, namespace
	result := lint.Run([]string{chartDir, hubDir}, nil)
	for _, message := range result.Messages {
		if message.Severity > support.InfoSev {
			t.Error(message)
		}
	}
	for _, err := range result.Errors {
		t.Error(err)
	}
}
