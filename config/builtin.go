// Package config carries the built-in meters of config/meters inside the operator, so that one kubectl apply installs
// everything: kubectl cannot apply a kind and its objects at once.
package config

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

//go:embed meters/*.yaml
var files embed.FS

// fieldOwner is kubectl's own, so that whoever applies a meter with kubectl later finds no conflict.
const fieldOwner = client.FieldOwner("kubectl")

// Meters are the built-in meters: those that config/meters/kustomization.yaml lists, in its order.
func Meters() ([]*unstructured.Unstructured, error) {
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := read("kustomization.yaml", &kustomization); err != nil {
		return nil, err
	}
	meters := make([]*unstructured.Unstructured, len(kustomization.Resources))
	for i, name := range kustomization.Resources {
		meters[i] = &unstructured.Unstructured{}
		if err := read(name, &meters[i].Object); err != nil {
			return nil, err
		}
	}
	return meters, nil
}

func read(name string, into any) error {
	text, err := files.ReadFile(path.Join("meters", name))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("config/meters/%s: %w", name, err)
	}
	return nil
}

// CreatedMeters is the ConfigMap, in the operator's namespace, whose keys are the built-in meters that were created
// once: what a person deletes stays deleted.
const CreatedMeters = "usage-operator-meters"

// CreateMeters creates the built-in meters that it has never created in this cluster, and returns their names. A meter
// that exists is left alone, whatever it says, and one that was deleted stays deleted: what is metered must not change
// by itself. It goes on after an error and returns them all.
func CreateMeters(ctx context.Context, cluster client.Client, namespace string) (created []string, err error) {
	meters, err := Meters()
	if err != nil {
		return nil, err
	}
	known := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: CreatedMeters}}
	if err := cluster.Get(ctx, client.ObjectKeyFromObject(known), known); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("which built-in meters were created before: %w", err)
	}
	var failures []error
	for _, meter := range meters {
		if _, before := known.Data[meter.GetName()]; before {
			continue
		}
		err := create(ctx, cluster, meter)
		switch {
		case err == nil:
			created = append(created, meter.GetName())
		case !apierrors.IsAlreadyExists(err):
			failures = append(failures, fmt.Errorf("create the built-in meter %s: %w", meter.GetName(), err))
			continue
		}
		if known.Data == nil {
			known.Data = map[string]string{}
		}
		known.Data[meter.GetName()] = "created"
	}
	return created, errors.Join(append(failures, remember(ctx, cluster, known))...)
}

func create(ctx context.Context, cluster client.Client, meter *unstructured.Unstructured) error {
	existing := meter.DeepCopy()
	err := cluster.Get(ctx, client.ObjectKeyFromObject(meter), existing)
	switch {
	case err == nil:
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "usagemeters"}, meter.GetName())
	case apierrors.IsNotFound(err):
		return cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(meter), fieldOwner)
	}
	return err
}

// extraOwner owns the fields of meters that the operator is given: they are told from those that people apply.
const extraOwner = client.FieldOwner("usage-operator-extra-meters")

// ApplyMeters applies the UsageMeters in the files *.yaml of the folder, one in each, over what others changed, and returns
// their names. It goes on after an error and returns them all.
func ApplyMeters(ctx context.Context, cluster client.Client, folder string) (applied []string, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no file *.yaml in %s", folder)
	}
	var failures []error
	for _, file := range files {
		meter, err := readMeter(file)
		if err == nil {
			err = cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(meter), extraOwner, client.ForceOwnership)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("apply the meter in %s: %w", file, err))
			continue
		}
		applied = append(applied, meter.GetName())
	}
	return applied, errors.Join(failures...)
}

var meterKind = schema.GroupVersionKind{Group: "metering.usage-operator.dev", Version: "v1alpha1", Kind: "UsageMeter"}

func readMeter(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	document, err := documents.Read()
	if err != nil {
		return nil, err
	}
	if _, err := documents.Read(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one document: put each UsageMeter into a file of its own")
	}
	meter := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(document, &meter.Object); err != nil {
		return nil, err
	}
	if got := meter.GroupVersionKind(); got != meterKind {
		return nil, fmt.Errorf("it is no %s, but a %s", meterKind, got)
	}
	return meter, nil
}

// remember writes down which meters were created.
func remember(ctx context.Context, cluster client.Client, known *corev1.ConfigMap) error {
	var err error
	if known.ResourceVersion == "" {
		err = cluster.Create(ctx, known)
	} else {
		err = cluster.Update(ctx, known)
	}
	if err != nil {
		return fmt.Errorf("write down which built-in meters were created: %w", err)
	}
	return nil
}
