package account

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/buildcache"
)

func git(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir = checkout
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return out, err
}

// checkoutEarlier writes the earlier version's source beside what else tests build, and builds its operator there, as it
// was, once per machine.
func (u *upgrade) checkoutEarlier(ctx context.Context) (source string) {
	commit, err := git(ctx, "rev-parse", "--verify", u.commit+"^{commit}")
	u.must(err)
	cache, err := buildcache.Dir()
	u.must(err)
	folder := filepath.Join(cache, "earlier", strings.TrimSpace(string(commit)))
	source = filepath.Join(folder, "source")
	u.must(os.MkdirAll(source, 0o755))
	archive, err := git(ctx, "archive", "--format=tar", u.commit)
	u.must(err)
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", source)
	unpack.Stdin = bytes.NewReader(archive)
	u.run(unpack)
	if u.old = filepath.Join(folder, "usage-operator"); !buildcache.Exists(u.old) {
		u.must(buildcache.Program{Label: u.commit, Module: source, Package: "."}.Build(ctx, u.old, os.Stderr))
	}
	return source
}

func (u *upgrade) await(ctx context.Context, patience time.Duration, what string, done func() bool) {
	u.Helper()
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, patience, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		u.Fatalf("not within %s: %s; the logs are in %s", patience, what, u.folder)
	}
}

// end is SIGTERM, as kubelet ends a container.
func (r *replica) end() {
	r.mu.Lock()
	r.held = true
	command, ended := r.command, r.ended
	r.mu.Unlock()
	if command != nil {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
	}
}

// says tells whether its log has a word.
func (r *replica) says(word string) bool {
	text, err := os.ReadFile(r.log.Name())
	return err == nil && bytes.Contains(text, []byte(word))
}

// blocks are the digests of the journal's blocks, by name.
func (u *upgrade) blocks(ctx context.Context) map[string]string {
	list := &v1alpha1.UsageBlockList{}
	u.must(u.cluster.List(ctx, list, client.InNamespace(operatorNamespace)))
	all := map[string]string{}
	for _, b := range list.Items {
		all[b.Name] = b.Spec.Digest
	}
	return all
}

func (u *upgrade) same(before, after map[string]string) {
	u.Helper()
	if !maps.Equal(before, after) {
		u.differences++
		u.Errorf("the journal was written to: it had %v, and has %v", before, after)
	}
}

// seals are the digests of the sealed intervals, by when they end. One is sealed once.
func (u *upgrade) seals(ctx context.Context) map[int64]string {
	list := &v1alpha1.UsageBlockList{}
	u.must(u.cluster.List(ctx, list, client.InNamespace(operatorNamespace)))
	all := map[int64]string{}
	for _, b := range list.Items {
		for _, s := range b.Spec.Sealed {
			end := s.EndTime.Unix()
			if before, known := all[end]; known && before != s.Digest {
				u.differences++
				u.Errorf("the interval until %s was sealed with the digest %s, and with %s", clockTime(end), before, s.Digest)
			}
			all[end] = s.Digest
		}
	}
	return all
}

func (u *upgrade) sealedUntil(ctx context.Context) (last int64) {
	for end := range u.seals(ctx) {
		last = max(last, end)
	}
	return last
}

// finals are the records that are Final, as they are stored, by namespace and name.
func (u *upgrade) finals(ctx context.Context) map[string]string {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("UsageRecordList"))
	u.must(u.cluster.List(ctx, list))
	all := map[string]string{}
	for _, r := range list.Items {
		if phase, _, _ := unstructured.NestedString(r.Object, "status", "phase"); phase != string(v1alpha1.PhaseFinal) {
			continue
		}
		text, err := json.Marshal(r.Object)
		u.must(err)
		all[r.GetNamespace()+"/"+r.GetName()] = string(text)
	}
	return all
}

// unchanged tells whether the records are what they were, with the resourceVersion: nothing has written them.
func (u *upgrade) unchanged(ctx context.Context, before map[string]string) {
	now := u.finals(ctx)
	for name, was := range before {
		namespace, _, _ := strings.Cut(name, "/")
		switch is, there := now[name]; {
		case !there && namespace == tenants[2]: // it went with its namespace
		case is != was:
			u.differences++
			u.Errorf("the Final record %s was\n%s\nand is\n%s", name, was, is)
		default:
			u.kept++
		}
	}
	if u.kept == 0 {
		u.Error("there was no Final record before the upgrade")
	}
}

// report compares a report over the edge with what records and corrections say.
func (u *upgrade) report(ctx context.Context, from, to int64) {
	r := &v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: tenants[0], Name: "edge"}}
	start, end := metav1.Unix(from, 0), metav1.Unix(to, 0)
	r.Spec.StartingOn, r.Spec.EndingBefore = &start, &end
	u.must(u.cluster.Create(ctx, r))
	u.await(ctx, readyPatience, "the report over the edge is complete", func() bool {
		return u.cluster.Get(ctx, client.ObjectKeyFromObject(r), r) == nil && meta.IsStatusConditionTrue(r.Status.Conditions, "Complete")
	})
	h, err := u.witness.history(ctx)
	u.must(err)
	l, err := readLedger(ctx, h, u.cluster)
	u.must(err)
	sums := map[string]*big.Int{}
	for s, parts := range l.parts {
		for _, p := range parts {
			seconds := min(p.to, to) - max(p.from, from)
			if p.namespace != tenants[0] || seconds <= 0 {
				continue
			}
			key := p.resourceType + " " + s.dimension
			if sums[key] == nil {
				sums[key] = new(big.Int)
			}
			sums[key].Add(sums[key], new(big.Int).Mul(big.NewInt(p.level), big.NewInt(seconds*int64(p.sign))))
		}
	}
	expected, said := map[string]string{}, map[string]string{}
	for key, sum := range sums {
		expected[key] = sum.String()
	}
	for _, total := range r.Status.Totals {
		said[total.ResourceType+" "+total.Dimension] = total.Exact
	}
	if !maps.Equal(expected, said) || len(said) == 0 {
		u.differences++
		u.Errorf("the report from %s to %s says %v, and the records %v", clockTime(from), clockTime(to), said, expected)
	}
}

// plant appends an entry of a format, which rightly follows what is there.
func (u *upgrade) plant(ctx context.Context, format int32) {
	list := &v1alpha1.UsageBlockList{}
	u.must(u.cluster.List(ctx, list, client.InNamespace(operatorNamespace)))
	last := slices.MaxFunc(list.Items, func(a, b v1alpha1.UsageBlock) int { return int(a.Spec.Sequence - b.Spec.Sequence) }).Spec
	b := &v1alpha1.UsageBlock{}
	b.Namespace, b.Name = operatorNamespace, fmt.Sprintf("%012d", last.Sequence+1)
	b.Spec = v1alpha1.UsageBlockSpec{
		Format: format, Sequence: last.Sequence + 1, Kind: "Entry", Part: v1alpha1.BlockPart{Count: 1}, Writer: "newer", Cluster: last.Cluster,
		Time: metav1.Now().Rfc3339Copy(), PreviousDigest: last.Digest,
	}
	text, err := json.Marshal(b.Spec)
	u.must(err)
	fields := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	u.must(decoder.Decode(&fields))
	delete(fields, "digest")
	text, err = json.Marshal(fields)
	u.must(err)
	sum := sha256.Sum256(text)
	b.Spec.Digest = "sha256:" + hex.EncodeToString(sum[:])
	config := u.cp.RESTConfig()
	config.Impersonate.UserName = "system:serviceaccount:" + operatorNamespace + ":usage-operator"
	operator, err := client.New(config, client.Options{Scheme: u.cluster.Scheme()})
	u.must(err)
	u.must(operator.Create(ctx, b))
}
