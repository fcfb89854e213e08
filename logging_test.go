package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// What client-go logs by klog, such as an election that is lost, is a line of JSON like all others.
func TestClientGoLogsAsTheOperatorDoes(t *testing.T) {
	t.Cleanup(klog.CaptureState().Restore)
	var logged bytes.Buffer
	setLogger(zap.New(zap.WriteTo(&logged)))
	klog.Infof("lock is held by %s", "another")
	klog.Background().Error(errors.New("timed out"), "Failed to update lock")
	lines := bytes.Split(bytes.TrimSpace(logged.Bytes()), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), &logged)
	}
	for i, want := range []struct{ level, msg, err string }{
		{"info", "lock is held by another", ""},
		{"error", "Failed to update lock", "timed out"},
	} {
		var line struct{ Level, Logger, Msg, Error string }
		if err := json.Unmarshal(lines[i], &line); err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, lines[i])
		}
		if line.Level != want.level || line.Logger != "client-go" || line.Msg != want.msg || line.Error != want.err {
			t.Errorf("line %d is %s", i+1, lines[i])
		}
	}
}
