package apiserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// futureWait is how long the server waits for a revision that is not there yet.
	futureWait = 3 * time.Second
	// progressWait is how long a consistent list takes to move the watch cache on.
	progressWait = 100 * time.Millisecond
)

// page is a part of a list: numbers in the kind's log.
type page struct {
	revision  uint64
	next      string // the continue token
	remaining *int64
	items     []int
}

// list answers a list. each is called under the lock with every version in it.
func (s *Server) list(ctx context.Context, k *kind, namespace string, opts metav1.ListOptions, each func(*event)) (*page, error) {
	answer, err := s.request(ctx, k)
	if err != nil {
		return nil, err
	}
	p, err := s.lookUp(k, namespace, opts, each)
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		if late := pause(ctx, futureWait); late != nil {
			return nil, late
		}
	}
	if late := answer(); late != nil {
		return nil, late
	}
	return p, err
}

func (s *Server) lookUp(k *kind, namespace string, opts metav1.ListOptions, each func(*event)) (*page, error) {
	name, in, err := selector(opts.FieldSelector)
	if err != nil {
		return nil, err
	}
	if in != "" {
		namespace = in
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, after := &page{revision: s.revision}, ""
	switch {
	case opts.Continue != "":
		revision, rest, _ := strings.Cut(opts.Continue, ":")
		p.revision, _ = strconv.ParseUint(revision, 10, 64)
		after = rest
	case opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact:
		if p.revision, err = strconv.ParseUint(opts.ResourceVersion, 10, 64); err != nil {
			return nil, apierrors.NewBadRequest("resourceVersion is no number")
		}
	case opts.ResourceVersion != "":
		return nil, apierrors.NewBadRequest("the model lists the present, or one revision")
	default:
		k.marks = append(k.marks, mark{revision: s.revision, visible: k.arrives(progressWait)})
		k.tell()
	}
	switch {
	case p.revision < s.compacted:
		return nil, expired(fmt.Sprintf("the resourceVersion %d is compacted: %d", p.revision, s.compacted))
	case p.revision > s.revision:
		return nil, tooLarge(p.revision, s.revision)
	}
	var rest int64
	for _, key := range k.sorted {
		if key <= after || !selects(key, namespace, name) {
			continue
		}
		i := k.at(key, p.revision)
		switch {
		case i < 0:
		case opts.Limit > 0 && int64(len(p.items)) == opts.Limit:
			if rest == 0 {
				p.next = text(p.revision) + ":" + last(p, k)
			}
			rest++
		default:
			p.items = append(p.items, i)
			each(&k.log[i])
		}
	}
	if rest > 0 && opts.FieldSelector == "" {
		p.remaining = &rest
	}
	return p, nil
}

func last(p *page, k *kind) string { return k.log[p.items[len(p.items)-1]].key }

func tooLarge(revision, current uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", revision, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

// selector reads a field selector by name and namespace.
func selector(text string) (name, namespace string, err error) {
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "":
		case "metadata.name":
			name = value
		case "metadata.namespace":
			namespace = value
		default:
			return "", "", apierrors.NewBadRequest("field label not supported: " + key)
		}
	}
	return name, namespace, nil
}

func selects(key, namespace, name string) bool {
	in, called, _ := strings.Cut(key, "/")
	return (namespace == "" || namespace == in) && (name == "" || name == called)
}

// get answers a Get.
func (s *Server) get(ctx context.Context, k *kind, namespace, name string, each func(*event)) error {
	answer, err := s.request(ctx, k)
	if err != nil {
		return err
	}
	s.mu.Lock()
	i := k.at(namespace+"/"+name, s.revision)
	if i >= 0 {
		each(&k.log[i])
	}
	s.mu.Unlock()
	if err := answer(); err != nil {
		return err
	}
	if i < 0 {
		return apierrors.NewNotFound(k.GroupVersionResource().GroupResource(), name)
	}
	return nil
}
