package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

const stages = "kwok's stages"

// stageFiles say how kwok plays nodes and pods: a node becomes Ready and keeps its lease, a pod runs at once, a
// Job's pod completes at once, and a deleted pod goes at once. kwok has none built in; its releases ship them.
var stageFiles = []string{
	"node/fast/node-initialize.yaml",
	"node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml",
	"pod/fast/pod-complete.yaml",
	"pod/fast/pod-delete.yaml",
}

// writeKwokStages writes one configuration file of the stages in the kwok module that the go.mod in dir requires.
func writeKwokStages(ctx context.Context, dir, path string) error {
	kwok, err := buildcache.Required(ctx, dir, "sigs.k8s.io/kwok")
	if err != nil {
		return err
	}
	text := &bytes.Buffer{}
	for _, file := range stageFiles {
		stage, err := os.ReadFile(filepath.Join(kwok.Dir, "kustomize", "stage", filepath.FromSlash(file)))
		if err != nil {
			return fmt.Errorf("read a stage of kwok %s; has it moved? %w", kwok.Version, err)
		}
		text.WriteString("---\n")
		text.Write(stage)
		text.WriteString("\n")
	}
	partial := path + ".partial"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(partial, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
