// Package usageblocks keeps the journal in the cluster itself: as UsageBlock
// objects in the operator's namespace.
package usageblocks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/restclient"
)

const (
	resource     = "usageblocks"
	fieldManager = "usage-operator"
	// page is how many blocks are listed at once: 16 MiB at most.
	page = 32
	// namesPage is how many blocks' names are listed at once: etcd reads the whole
	// blocks, 125 MiB at most.
	namesPage = 250
)

// What the API server is asked to answer: of a write and of a list of names,
// the metadata is enough.
const (
	metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	metadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// Store keeps blocks in one namespace. It is safe for concurrent use.
type Store struct {
	client    rest.Interface
	namespace string
}

var _ journal.Store = (*Store)(nil)

// New is a store in the namespace.
func New(config *rest.Config, httpClient *http.Client, namespace string) (*Store, error) {
	client, err := restclient.New(config, httpClient)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, namespace: namespace}, nil
}

// object is a UsageBlock whose spec is left as it came: its digest is over
// fields that this version may not know.
type object struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
}

// stored is the object as the journal sees it; false when it is none of the journal's.
func (o *object) stored() (journal.Stored, bool) {
	key, ok := journal.ParseKey(o.Metadata.Name)
	return journal.Stored{Key: key, Spec: o.Spec, Accepts: o.Metadata.Annotations[v1alpha1.AnnotationAcceptGap]}, ok
}

// Create keeps a block, or answers journal.ErrExists.
func (s *Store) Create(ctx context.Context, key journal.Key, spec []byte) error {
	body, err := json.Marshal(object{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageBlock",
		Metadata: metav1.ObjectMeta{Name: key.String(), Namespace: s.namespace}, Spec: spec,
	})
	if err != nil {
		return err
	}
	err = s.client.Post().Namespace(s.namespace).Resource(resource).Param("fieldManager", fieldManager).
		SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", metadataOnly).Body(body).Do(ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%w: %w", journal.ErrExists, err)
	}
	return err
}

// Get is one block, or journal.ErrNotFound.
func (s *Store) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	raw, err := answer(s.client.Get().Namespace(s.namespace).Resource(resource).Name(key.String()).Do(ctx))
	if apierrors.IsNotFound(err) {
		return journal.Stored{}, fmt.Errorf("%w: %w", journal.ErrNotFound, err)
	}
	if err != nil {
		return journal.Stored{}, err
	}
	var block object
	if err := json.Unmarshal(raw, &block); err != nil {
		return journal.Stored{}, err
	}
	stored, _ := block.stored()
	return stored, nil
}

// answer is what the API server answered: what it says, if that is an error.
func answer(result rest.Result) ([]byte, error) {
	raw, err := result.Raw()
	if err != nil {
		return nil, result.Error()
	}
	return raw, nil
}

// Keys are the keys of all blocks.
func (s *Store) Keys(ctx context.Context) ([]journal.Key, error) {
	var keys []journal.Key
	err := s.pages(ctx, metadataList, namesPage, func(raw []byte) (string, error) {
		var list struct {
			Metadata metav1.ListMeta `json:"metadata"`
			Items    []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			} `json:"items"`
		}
		err := json.Unmarshal(raw, &list)
		for _, item := range list.Items {
			if key, ok := journal.ParseKey(item.Metadata.Name); ok {
				keys = append(keys, key)
			}
		}
		return list.Metadata.Continue, err
	})
	return keys, err
}

// List hands out every block in order.
func (s *Store) List(ctx context.Context, each func(journal.Stored) error) error {
	return s.pages(ctx, runtime.ContentTypeJSON, page, func(raw []byte) (string, error) {
		var list struct {
			Metadata metav1.ListMeta `json:"metadata"`
			Items    []object        `json:"items"`
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return "", err
		}
		for i := range list.Items {
			stored, ok := list.Items[i].stored()
			if !ok {
				continue
			}
			if err := each(stored); err != nil {
				return "", err
			}
		}
		return list.Metadata.Continue, nil
	})
}

// pages lists all blocks, limit at a time. take returns where the next page begins.
func (s *Store) pages(ctx context.Context, accept string, limit int, take func(raw []byte) (next string, err error)) error {
	for token := ""; ; {
		request := s.client.Get().Namespace(s.namespace).Resource(resource).SetHeader("Accept", accept).Param("limit", fmt.Sprint(limit))
		if token != "" {
			request = request.Param("continue", token)
		}
		raw, err := answer(request.Do(ctx))
		if err != nil {
			return err
		}
		if token, err = take(raw); err != nil || token == "" {
			return err
		}
	}
}

// Delete removes a block.
func (s *Store) Delete(ctx context.Context, key journal.Key) error {
	err := s.client.Delete().Namespace(s.namespace).Resource(resource).Name(key.String()).
		SetHeader("Accept", metadataOnly).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
