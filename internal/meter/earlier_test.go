package meter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// neverReleased are meters that do not compile any more, by their ids in Git: no release has had them.
var neverReleased = map[string]string{
	"19f11b13a84": "gateway called loadBalancer(self) for half an hour: an annotation could hide a tenant's load balancer behind another's",
	"71f357196b8": "load-balancer did, too",
	"cba5f9aaf13": "load-balancer called assignedAddresses for half an hour: a restart would have taken off what was sealed",
	"ae167ff6b54": "node-pool-extended-resources never compiled",
}

// TestMetersOfEarlierVersions compiles every built-in meter as it has ever been on the main branch. An upgrade changes no
// meter: one that did not compile any more would stop, and what it meters would not be billed.
func TestMetersOfEarlierVersions(t *testing.T) {
	objects, err := exec.CommandContext(t.Context(), "git", "rev-list", "--objects", "--first-parent", "HEAD", "--", builtinDirectory).Output()
	if err != nil {
		t.Skipf("SKIPPED: the meters of earlier versions are in Git's history, and this is no clone of it: %v", err)
	}
	var files []string
	ids := &bytes.Buffer{}
	for line := range strings.Lines(string(objects)) {
		id, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path.Dir(file) == "config/meters" && strings.HasSuffix(file, ".yaml") && path.Base(file) != "kustomization.yaml" {
			fmt.Fprintln(ids, id)
			files = append(files, file+" ("+id[:12]+")")
		}
	}
	command := exec.CommandContext(t.Context(), "git", "cat-file", "--batch")
	command.Stdin = ids
	texts, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(bytes.NewReader(texts))
	for _, file := range files {
		text, err := nextObject(reader)
		m := &v1alpha1.UsageMeter{}
		if err = errors.Join(err, yaml.Unmarshal(text, m)); err == nil {
			_, err = Compile(m.Name, &m.Spec, !clusterScoped[m.Spec.Target.Kind])
		}
		known := slices.ContainsFunc(slices.Collect(maps.Keys(neverReleased)), func(id string) bool { return strings.Contains(file, id) })
		switch {
		case err != nil && !known:
			t.Errorf("%s:\n%v", file, err)
		case err == nil && known:
			t.Errorf("%s compiles again", file)
		}
	}
	t.Logf("%d versions of meters", len(files))
}

// nextObject reads an object as git cat-file --batch writes it.
func nextObject(reader *bufio.Reader) ([]byte, error) {
	var id, kind string
	var size int
	if _, err := fmt.Fscanf(reader, "%s %s %d\n", &id, &kind, &size); err != nil {
		return nil, err
	}
	text := make([]byte, size+1) // and a line's end
	_, err := io.ReadFull(reader, text)
	return text, err
}
