// Package config carries the built-in meters of config/meters inside the operator, so that one kubectl apply installs
// everything: kubectl cannot apply a kind and its objects at once.
package config

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// CreateMeters creates the built-in meters that do not exist, and returns the names of those that it created. A meter
// that exists is left alone, whatever it says: people may have changed it, and what is metered must not change by
// itself. It goes on after an error and returns them all.
func CreateMeters(ctx context.Context, cluster client.Client) (created []string, err error) {
	meters, err := Meters()
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, meter := range meters {
		existing := meter.DeepCopy()
		err := cluster.Get(ctx, client.ObjectKeyFromObject(meter), existing)
		if apierrors.IsNotFound(err) {
			err = cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(meter), fieldOwner)
			if err == nil {
				created = append(created, meter.GetName())
			}
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("create the built-in meter %s: %w", meter.GetName(), err))
		}
	}
	return created, errors.Join(failures...)
}
