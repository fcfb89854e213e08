package crds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

const (
	fieldManager  = "usage-operator-test-crds"
	servePatience = time.Minute
	poll          = 50 * time.Millisecond
)

// Install installs or updates the named definitions (like `virtualmachines.kubevirt.io`), or all of them when none is
// named, and waits until the API server serves every version of them.
func Install(ctx context.Context, config *rest.Config, names ...string) error {
	dir, err := Build(ctx, io.Discard)
	if err != nil {
		return err
	}
	known, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no CRD %q; there are %q", name, known)
		}
	}
	if len(names) == 0 {
		names = known
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // a wait for many kinds is many small requests
	clients, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	return install(ctx, clients, dir, names)
}

func install(ctx context.Context, clients clientset.Interface, dir string, names []string) error {
	definitions, err := read(dir, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name+extension))
		if err != nil {
			return err
		}
		// Applied by the server: kubectl's own way would write the whole of it, too large, into an annotation.
		force := true
		options := metav1.PatchOptions{FieldManager: fieldManager, Force: &force}
		_, err = clients.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, name, types.ApplyPatchType, text, options)
		if err != nil {
			return fmt.Errorf("install the CRD %s: %w", name, err)
		}
	}
	for _, definition := range definitions {
		if err := waitUntilServed(ctx, clients, definition); err != nil {
			return err
		}
	}
	return nil
}

func waitUntilServed(ctx context.Context, clients clientset.Interface, definition *apiextensionsv1.CustomResourceDefinition) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, servePatience, true, func(ctx context.Context) (bool, error) {
		last = served(ctx, clients, definition)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the CRD %s is served: %w: %w", definition.Name, err, last)
	}
	return nil
}

// served says what is still missing: the condition comes first, then the objects, then the entry in the discovery.
func served(ctx context.Context, clients clientset.Interface, definition *apiextensionsv1.CustomResourceDefinition) error {
	now, err := clients.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, definition.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !established(now) {
		return fmt.Errorf("it is not Established: %v", now.Status.Conditions)
	}
	for _, version := range definition.Spec.Versions {
		if !version.Served {
			continue
		}
		resource := schema.GroupVersionResource{
			Group:    definition.Spec.Group,
			Version:  version.Name,
			Resource: definition.Spec.Names.Plural,
		}
		if err := answers(ctx, clients, resource); err != nil {
			return err
		}
	}
	return nil
}

func established(definition *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(definition.Status.Conditions, func(condition apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue
	})
}

func answers(ctx context.Context, clients clientset.Interface, resource schema.GroupVersionResource) error {
	path := fmt.Sprintf("/apis/%s/%s/%s", resource.Group, resource.Version, resource.Resource)
	list := clients.Discovery().RESTClient().Get().AbsPath(path).Param("limit", "1").Do(ctx)
	if err := list.Error(); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	resources, err := clients.Discovery().ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if err != nil {
		return err
	}
	for _, listed := range resources.APIResources {
		if listed.Name == resource.Resource {
			return nil
		}
	}
	return errors.New(path + " is not in the discovery yet")
}
