package crds_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

func TestEveryKindCanBeCreatedOnceItsDefinitionIsInstalled(t *testing.T) {
	definitions, err := crds.Load(t.Context(), os.Stderr)
	require(t, err)
	cp, err := controlplane.Start(t.Context(), controlplane.Options{
		Components:        controlplane.APIOnly(),
		EtcdUnsafeNoFsync: true,
		Progress:          os.Stderr,
	})
	require(t, err)
	t.Cleanup(func() { require(t, cp.Stop()) })
	require(t, crds.Install(t.Context(), cp.RESTConfig()))
	require(t, crds.Install(t.Context(), cp.RESTConfig(), "vpcs.kubeovn.io")) // again, as an update
	client, err := dynamic.NewForConfig(cp.RESTConfig())
	require(t, err)

	objects := minimalObjects(t)
	for _, definition := range definitions {
		t.Run(definition.Spec.Names.Kind, func(t *testing.T) {
			kind := schema.GroupKind{Group: definition.Spec.Group, Kind: definition.Spec.Names.Kind}
			object, found := objects[kind]
			if !found {
				t.Fatalf("testdata/objects.yaml has no object of the kind %s", kind)
			}
			delete(objects, kind)
			resource := object.GroupVersionKind().GroupVersion().WithResource(definition.Spec.Names.Plural)
			options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
			if definition.Spec.Scope == apiextensionsv1.ClusterScoped {
				_, err = client.Resource(resource).Create(t.Context(), object, options)
			} else {
				_, err = client.Resource(resource).Namespace(object.GetNamespace()).Create(t.Context(), object, options)
			}
			require(t, err)
		})
	}
	for kind := range objects {
		t.Errorf("testdata/objects.yaml has an object of the kind %s, for which there is no CRD", kind)
	}
}

func TestInstallNamesTheCRDsThatThereAreWhenOneIsUnknown(t *testing.T) {
	_, err := crds.Load(t.Context(), os.Stderr)
	require(t, err)
	err = crds.Install(t.Context(), nil, "unicorns.example.com")
	if err == nil {
		t.Fatal("a CRD that there is not was installed")
	}
	if !strings.Contains(err.Error(), "virtualmachines.kubevirt.io") {
		t.Errorf("the error is %q, without the CRDs that there are", err)
	}
}

func minimalObjects(t *testing.T) map[schema.GroupKind]*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile("testdata/objects.yaml")
	require(t, err)
	objects := map[schema.GroupKind]*unstructured.Unstructured{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		require(t, err)
		object := &unstructured.Unstructured{}
		require(t, yaml.Unmarshal(document, &object.Object))
		objects[object.GroupVersionKind().GroupKind()] = object
	}
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
