package apiserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// query is a list, as it is asked for.
type query struct {
	read            read
	revision        uint64 // the one that is read, or the least that is wanted
	after           string // the key after which it goes on
	continued       bool
	limit           int64
	name, namespace string // empty: any
	selects         bool   // by name or namespace
	single          bool   // one object: its old versions are not kept but by etcd
}

// read is from where a list is read.
type read int

const (
	// readConsistent is as of now.
	readConsistent read = iota
	// readCached is what the watch cache has, once it has come to the revision.
	readCached
	// readExact is as of the revision.
	readExact
)

// latest is the revision in a token with which a list that has expired goes on.
const latest = "-1"

// parse reads the options of a list, and refuses what the API server refuses.
func parse(k *kind, namespace string, opts metav1.ListOptions) (q query, err error) {
	if q.name, q.namespace, err = selector(opts.FieldSelector); err != nil {
		return q, err
	}
	q.limit, q.selects = opts.Limit, opts.FieldSelector != ""
	if q.namespace == "" {
		q.namespace = namespace
	}
	q.single = q.name != "" && (q.namespace != "" || !k.Namespaced)
	match := opts.ResourceVersionMatch
	if match != "" {
		exactly := match == metav1.ResourceVersionMatchExact
		if opts.ResourceVersion == "" || opts.Continue != "" || exactly && opts.ResourceVersion == "0" ||
			!exactly && match != metav1.ResourceVersionMatchNotOlderThan {
			return q, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "list", k.GroupVersionResource().GroupResource(), "",
				"resourceVersionMatch is forbidden", 0, true)
		}
	}
	if opts.ResourceVersion != "" {
		if q.revision, err = strconv.ParseUint(opts.ResourceVersion, 10, 64); err != nil {
			return q, apierrors.NewBadRequest("invalid resource version: " + opts.ResourceVersion)
		}
	}
	switch {
	case opts.Continue != "":
		if q.revision > 0 {
			return q, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
		return q, q.proceed(opts.Continue)
	case match == metav1.ResourceVersionMatchExact, match == "" && q.limit > 0 && q.revision > 0 && !q.single:
		q.read = readExact
	case opts.ResourceVersion != "":
		q.read = readCached
		if q.revision == 0 {
			q.limit = 0 // the watch cache has it all
		}
	}
	return q, nil
}

// proceed reads a continue token.
func (q *query) proceed(token string) (err error) {
	revision, after, _ := strings.Cut(token, ":")
	q.after, q.continued = after, true
	if revision == latest {
		return nil
	}
	q.read = readExact
	if q.revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return apierrors.NewBadRequest("invalid continue token: " + token)
	}
	return nil
}

// token is with which a list of the revision goes on after the key.
func token(revision, after string) string { return revision + ":" + after }

// compacted is the error of a list whose revision etcd has forgotten. One that goes
// on can do so with what there is now.
func (q *query) compacted() error {
	err := apierrors.NewResourceExpired(fmt.Sprintf("The resourceVersion for the provided list is too old: %d", q.revision))
	if q.continued {
		err.ErrStatus.Continue = token(latest, q.after)
	}
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

func (q *query) matches(key string) bool {
	in, called, _ := strings.Cut(key, "/")
	return (q.namespace == "" || q.namespace == in) && (q.name == "" || q.name == called)
}
