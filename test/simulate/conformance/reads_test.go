package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
)

// patience is how long a watch may take to tell what it has to.
const patience = 10 * time.Second

// side is an API server that is read: the real one, or the model.
type side struct {
	dynamic   dynamic.Interface
	metadata  metadata.Interface
	revisions []uint64 // of the writes so far
	tokens    map[int]string
	watches   map[int]watch.Interface
}

func newSide(whole dynamic.Interface, partial metadata.Interface) *side {
	return &side{dynamic: whole, metadata: partial, tokens: map[int]string{}, watches: map[int]watch.Interface{}}
}

// read is a thing that is asked of both sides.
type read struct {
	what     string // list, get, watch, keep, drain
	resource schema.GroupVersionResource
	partial  bool // the metadata alone
	// version is what the list or watch begins at: the number of a write, or one of these below.
	version         int
	match           metav1.ResourceVersionMatch
	limit           int64
	pages           int // how many pages are read; the rest is kept for later
	slot            int // where a continue token or a watch is kept
	useToken        bool
	fields          string
	namespace, name string
	fresh           bool // the watch cache is brought up to date first
	events          int  // how many a watch has to tell
	ends            bool // a watch that is drained has to end
}

const (
	unset  = -1 // no resourceVersion
	any0   = -2 // "0"
	future = -3
	wrong  = -4
)

func (r read) String() string {
	type plain read
	return fmt.Sprintf("%+v", plain(r))
}

func (s *side) versionOf(r read) string {
	switch r.version {
	case unset:
		return ""
	case any0:
		return "0"
	case future:
		return strconv.FormatUint(s.revisions[len(s.revisions)-1]+1_000_000, 10)
	case wrong:
		return "word"
	}
	return strconv.FormatUint(s.revisions[r.version], 10)
}

// since is the write that was the last up to the revision.
func (s *side) since(resourceVersion string) string {
	revision, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return fmt.Sprintf("(%q)", resourceVersion)
	}
	i, found := slices.BinarySearch(s.revisions, revision)
	if !found {
		i--
	}
	return "@" + strconv.Itoa(i)
}

// answer is what the side answers, as text.
func (s *side) answer(ctx context.Context, r read) string {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	switch r.what {
	case "list":
		return s.list(ctx, r)
	case "get":
		object, err := s.metadata.Resource(r.resource).Namespace(r.namespace).Get(ctx, r.name, metav1.GetOptions{})
		if err != nil {
			return failure(err)
		}
		return s.object(object)
	case "watch":
		return s.watch(ctx, r)
	case "keep":
		w, err := s.open(context.Background(), r) // it outlives this read
		if err != nil {
			return failure(err)
		}
		s.watches[r.slot] = w
		return "open"
	case "drain":
		w := s.watches[r.slot]
		if w == nil {
			return "none"
		}
		defer w.Stop()
		return s.drain(w, r)
	}
	panic(r.what)
}

func (s *side) list(ctx context.Context, r read) string {
	if r.fresh {
		if _, err := s.page(ctx, read{resource: r.resource, partial: r.partial}, metav1.ListOptions{Limit: 1}); err != nil {
			return "first " + failure(err)
		}
	}
	opts := metav1.ListOptions{Limit: r.limit, ResourceVersion: s.versionOf(r), ResourceVersionMatch: r.match, FieldSelector: r.fields}
	if r.useToken {
		if opts.Continue = s.tokens[r.slot]; opts.Continue == "" {
			return "no token"
		}
	}
	var b strings.Builder
	for range max(r.pages, 1) {
		list, err := s.page(ctx, r, opts)
		if err != nil {
			var status apierrors.APIStatus
			if errors.As(err, &status) && status.Status().Continue != "" {
				s.tokens[r.slot] = status.Status().Continue
			}
			return b.String() + failure(err)
		}
		about, _ := meta.ListAccessor(list)
		fmt.Fprintf(&b, "list %s", s.since(about.GetResourceVersion()))
		if n := about.GetRemainingItemCount(); n != nil {
			fmt.Fprintf(&b, ", %d more", *n)
		}
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			fmt.Fprintf(&b, "\n    %s", s.object(o))
			return nil
		})
		s.tokens[r.slot] = about.GetContinue()
		if about.GetContinue() == "" {
			return b.String()
		}
		b.WriteString("\n  to be continued: ")
		opts.Continue, opts.ResourceVersion, opts.ResourceVersionMatch = about.GetContinue(), "", ""
	}
	return b.String()
}

func (s *side) page(ctx context.Context, r read, opts metav1.ListOptions) (runtime.Object, error) {
	if r.partial {
		if r.namespace != "" {
			return s.metadata.Resource(r.resource).Namespace(r.namespace).List(ctx, opts)
		}
		return s.metadata.Resource(r.resource).List(ctx, opts)
	}
	return s.dynamic.Resource(r.resource).List(ctx, opts)
}

func (s *side) open(ctx context.Context, r read) (watch.Interface, error) {
	seconds := int64(300)
	opts := metav1.ListOptions{ResourceVersion: s.versionOf(r), TimeoutSeconds: &seconds, AllowWatchBookmarks: true}
	if r.partial {
		return s.metadata.Resource(r.resource).Watch(ctx, opts)
	}
	return s.dynamic.Resource(r.resource).Watch(ctx, opts)
}

func (s *side) watch(ctx context.Context, r read) string {
	w, err := s.open(ctx, r)
	if err != nil {
		return failure(err)
	}
	defer w.Stop()
	return s.drain(w, r)
}

// drain reads what a watch has to tell.
func (s *side) drain(w watch.Interface, r read) string {
	var b strings.Builder
	late := time.NewTimer(patience)
	defer late.Stop()
	for n := 0; n < r.events || r.ends; {
		select {
		case event, more := <-w.ResultChan():
			switch {
			case !more:
				return b.String() + "\n    ended"
			case event.Type == watch.Error:
				return b.String() + "\n    " + failure(apierrors.FromObject(event.Object))
			case event.Type == watch.Bookmark: // comes when it comes
			default:
				fmt.Fprintf(&b, "\n    %s %s", event.Type, s.object(event.Object))
				n++
			}
		case <-late.C:
			return b.String() + "\n    and no more"
		}
	}
	return b.String()
}

// object is an object as both sides have to give it.
func (s *side) object(o runtime.Object) string {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.DeepCopyObject())
	if err != nil {
		return err.Error()
	}
	about, err := meta.Accessor(o)
	if err != nil {
		return err.Error()
	}
	if _, partial := o.(*metav1.PartialObjectMetadata); partial {
		delete(content, "kind") // what it is the metadata of, the model does not say
		delete(content, "apiVersion")
	}
	metadata := content["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	text, err := json.Marshal(content)
	if err != nil {
		return err.Error()
	}
	digest := sha256.Sum256(text)
	going := ""
	if about.GetDeletionTimestamp() != nil {
		going = " going"
	}
	return fmt.Sprintf("%v %s/%s %s %s %x%s", content["apiVersion"], about.GetNamespace(), about.GetName(), about.GetUID()[:8],
		s.since(about.GetResourceVersion()), digest[:4], going)
}

// failure is an error, as far as it is to be the same.
func failure(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "fails: " + err.Error()
	}
	text := fmt.Sprintf("fails with %d", status.Status().Code)
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		text += ", too large"
	}
	if status.Status().Continue != "" {
		text += ", with a token to go on"
	}
	return text
}
