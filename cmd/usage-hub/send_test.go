package main

import (
	"strings"
	"testing"
)

// A URL without TLS has to be meant.
func TestATokenIsNotSentInPlainByMistake(t *testing.T) {
	status, _, stderr := run(t, "send", "--url=http://hub.example.org", "--token-file=/nowhere", "--kubeconfig=/nowhere")
	if status != exitFailed || !strings.Contains(stderr, "--plain-http") {
		t.Errorf("%d: %s", status, stderr)
	}
	status, _, stderr = run(t, "send", "--plain-http", "--url=http://hub.example.org", "--token-file=/nowhere", "--kubeconfig=/nowhere")
	if status != exitFailed || strings.Contains(stderr, "--plain-http") || !strings.Contains(stderr, "no cluster") {
		t.Errorf("with --plain-http: %d: %s", status, stderr)
	}
}
